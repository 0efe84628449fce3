"""Values in a job's data, of the types a task needs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from remotejob.builtin.refusals import BadData
from remotejob.tasks.running_job import RunningJob


def data_of(job: RunningJob) -> dict[str, Any]:
    """The job's data, which must be named values; none at all is an empty dict.

    Raises: BadData.
    """
    data = job.data
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadData(f"data={shown(data)}: the task takes a dict of named values")
    return data


def text(data: Mapping[str, Any], key: str, *, default: str) -> str:
    """Text that is not empty.

    Raises: BadData.
    """
    value = data.get(key, default)
    if not isinstance(value, str) or not value:
        raise BadData(f"{key}={shown(value)}: give text that is not empty")
    return value


def texts(data: Mapping[str, Any], key: str, *, most: int) -> list[str]:
    """Text, or a list of texts, as a list.

    Raises: BadData, also when there are none, or more than `most`.
    """
    value = data.get(key)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(x, str) for x in values):
        raise BadData(f"{key}={shown(value)}: give text, or a list of texts")
    if len(values) > most:
        raise BadData(f"{key} lists {len(values)}: {most} at most")
    return values


def named(data: Mapping[str, Any], key: str) -> Any:
    """The value of a key that must be there.

    Raises: BadData, with the key that is nearest.
    """
    if key not in data:
        close = difflib.get_close_matches(key, data, n=1)
        hint = f" (there is {shown(close[0])})" if close else ""
        raise BadData(f"the data has no key {shown(key)}{hint}")
    return data[key]


def shown(value: object) -> str:
    """A value in an error: whoever sent it decides neither its length nor its line breaks."""
    written = ascii(value) if isinstance(value, str | int | float | bool | None) else None
    if written is None:
        return f"a {type(value).__name__}"
    return written if len(written) <= 80 else f"{written[:80]}…"
