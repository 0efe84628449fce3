"""Reads typed values from a job's data, for all built-in tasks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from remotejob.builtin.refusals import BadData
from remotejob.tasks.running_job import RunningJob


def data_of(job: RunningJob) -> dict[str, Any]:
    """The job's data as a dict; a job without data has an empty one.

    Raises: BadData.
    """
    data = job.data
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadData(f"data={shown(data)}: give a dict of named values")
    return data


def text(data: Mapping[str, Any], key: str, *, default: str) -> str:
    """A non-empty text.

    Raises: BadData.
    """
    value = data.get(key, default)
    if not isinstance(value, str) or not value:
        raise BadData(f"{key}={shown(value)}: give a non-empty text")
    return value


def texts(data: Mapping[str, Any], key: str, *, most: int) -> list[str]:
    """A text or a list of texts, as a list.

    Raises: BadData, also when there is none or more than `most`.
    """
    value = data.get(key)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(x, str) for x in values):
        raise BadData(f"{key}={shown(value)}: give text, or a list of texts")
    if len(values) > most:
        raise BadData(f"{key} lists {len(values)} texts: give at most {most}")
    return values


def named(data: Mapping[str, Any], key: str) -> Any:
    """The value of a required key.

    Raises: BadData, with the most similar key.
    """
    if key not in data:
        close = difflib.get_close_matches(key, data, n=1)
        hint = f"; did you mean {shown(close[0])}?" if close else ""
        raise BadData(f"the data has no key {shown(key)}{hint}")
    return data[key]


def shown(value: object) -> str:
    """A value for an error message, cut and escaped: it comes from the submitter."""
    written = ascii(value) if isinstance(value, str | int | float | bool | None) else None
    if written is None:
        return f"a {type(value).__name__}"
    return written if len(written) <= 80 else f"{written[:80]}…"
