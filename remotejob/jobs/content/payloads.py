"""Data, results and manifests as JSON: small ones in the record, larger ones in S3."""

from __future__ import annotations

from typing import Any

from remotejob.domain.errors import InvalidData
from remotejob.domain.record import DATA_LIMIT, INLINE_LIMIT, RESULT_LIMIT
from remotejob.domain.text import NESTED_AT_MOST, cut, dumps, nested_too_deep, said_by, shown
from remotejob.ports import Area, ObjectStore


def encode(value: Any, *, what: str) -> str:
    """A value as JSON.

    Raises: InvalidData, naming the part that JSON cannot represent, or when lists and dicts are
    nested more than 100 levels deep.
    """
    try:
        text = dumps(value)
        deep = nested_too_deep(value)
        if not deep:
            _check_keys(value)
        text.encode()  # half a surrogate pair is valid in a Python str, not in JSON
    except RecursionError:
        deep = True
    except Exception as problem:  # noqa: BLE001 (a value's own code may raise anything)
        raise InvalidData(
            f"{what} cannot be written as JSON: {cut(said_by(problem), 300)}; use dicts with text "
            "keys, lists, text, finite numbers, booleans and None, and `body` or an output for "
            "anything else"
        ) from None
    if deep:
        # not every reader could decode it
        raise InvalidData(
            f"{what} cannot be written as JSON: it is nested too deep, more than {NESTED_AT_MOST} "
            "levels of lists and dicts; flatten it, or pass it as text or in a file"
        )
    return text


def _check_keys(value: Any) -> None:
    """Refuse keys that JSON would turn into text and return as text."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {shown(key)} is not text")
            _check_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check_keys(part)


def encode_data(data: Any) -> str:
    """A job's data as JSON. Raises: InvalidData, also when it is longer than `DATA_LIMIT`."""
    text = encode(data, what="data")
    _check_size(
        text,
        what="data",
        limit=DATA_LIMIT,
        remedy="put large values into a file, and give it as the job's input (`body`)",
    )
    return text


def encode_result(result: Any) -> str:
    """A job's result as JSON. Raises: InvalidData, also when it is longer than `RESULT_LIMIT`."""
    text = encode(result, what="the result")
    _check_size(
        text,
        what="the result",
        limit=RESULT_LIMIT,
        remedy="keep more in an output",
    )
    return text


def _check_size(text: str, *, what: str, limit: int, remedy: str) -> None:
    size = len(text.encode())
    if size > limit:
        raise InvalidData(f"{what} has {size:,} bytes as JSON, and {limit:,} is the most: {remedy}")


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
