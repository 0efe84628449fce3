"""Data, results and manifests as JSON: small ones in the record, larger ones in S3."""

from __future__ import annotations

from typing import Any

from remotejob.domain.errors import InvalidData
from remotejob.domain.record import INLINE_LIMIT
from remotejob.domain.text import dumps
from remotejob.ports import Area, ObjectStore


def encode(value: Any, *, what: str) -> str:
    """A value as JSON.

    Raises: InvalidData, naming the part that JSON cannot represent.
    """
    try:
        text = dumps(value)
        _check_keys(value)
        text.encode()  # half a surrogate pair is valid in a Python str, not in JSON
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidData(
            f"{what} cannot be written as JSON: {problem}; use dicts with text keys, lists, text, "
            "finite numbers, booleans and None, and `body` or an output for anything else"
        ) from None
    return text


def _check_keys(value: Any) -> None:
    """Refuse keys that JSON would turn into text and return as text."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def fits_inline(text: str) -> bool:
    return len(text.encode()) <= INLINE_LIMIT


def store_text(files: ObjectStore, area: Area, key: str, text: str) -> str:
    """Store a long text next to the files; return its key."""
    files.put(area, key, text.encode(), content_type="application/json")
    return key


def load_text(files: ObjectStore, area: Area, inline: str | None, key: str | None) -> str | None:
    """The text, from the record or from S3."""
    if key is None:
        return inline
    with files.open(files.bucket(area), key) as stream:
        return stream.read().decode()
