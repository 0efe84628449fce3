"""What a submission asks for, as an idempotency key remembers it: a hash for each part of it.

The key's item has the hashes, because the job's record may have changed, and its long data is a
file. A part that a submission does not have is left out; so is what cannot be known without reading
a stream. When and how a job runs (priority, delay, retry, dependencies) is no part of it: a client
that tries again may say that anew.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from remotejob.domain.text import dumps
from remotejob.jobs.content.bodies import known_size
from remotejob.jobs.submission.submission import Checked

_PARTS: Final = ("task", "data", "input", "resource", "tenant", "repeat")
_SIZE: Final = "size of its input"
"""Compared where both are known."""

_DIGITS: Final = 16
_EXACT: Final = 2**53
"""Up to here, JSON's numbers with and without a point are the same in every language."""


def payload_of(checked: Checked) -> str:
    """The hashes of its parts, as JSON."""
    record = checked.record
    data = checked.data_text if record.data_json is None else record.data_json
    repeat = None if record.repeat_json is None else json.loads(record.repeat_json)
    if repeat is not None:
        # often so long after now, and so another one each time
        repeat.pop("u", None)
    parts: dict[str, Any] = {
        "task": record.task,
        "data": None if data is None else [json.loads(data)],
        "input": _input_of(checked),
        "resource": record.resource,
        "tenant": record.tenant,
        "repeat": repeat,
        _SIZE: None if checked.body is None else known_size(checked.body),
    }
    return dumps({name: _digest(part) for name, part in parts.items() if part is not None})


def what_differs(before: str | None, now: str) -> tuple[str, ...]:
    """The parts in which two payloads differ; none where the first is not known.

    An earlier version of this library noted none, and an odd item may have anything.
    """
    known, given = _read(before), _read(now)
    if known is None or given is None:
        return ()
    differing = [name for name in _PARTS if known.get(name) != given.get(name)]
    sizes = known.get(_SIZE), given.get(_SIZE)
    if "input" not in differing and None not in sizes and sizes[0] != sizes[1]:
        differing.append(_SIZE)
    return tuple(differing)


def _input_of(checked: Checked) -> list[str | None] | None:
    file = checked.record.input
    if file is not None:
        return [file.bucket, file.key, file.version]
    if checked.body is None:
        return None
    # a type that was guessed depends on the machine: mimetypes reads the system's tables
    return [checked.filename, checked.submission.content_type]


def _digest(part: Any) -> str:
    text = json.dumps(_plain(part), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _plain(value: Any) -> Any:
    """The same for what JSON does not tell apart: 1 and 1.0, and objects in another order."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _read(text: str | None) -> dict[str, Any] | None:
    try:
        parts = None if text is None else json.loads(text)
    except ValueError:
        return None
    return parts if isinstance(parts, dict) else None
