"""Reads pages from files, for `get_hrefs` and `pluck_data`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remotejob.builtin.fields import shown, text
from remotejob.builtin.files import regular
from remotejob.builtin.html.charset import charset_of, decoded
from remotejob.builtin.refusals import BadData, BadFile
from remotejob.tasks.running_job import RunningJob


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page's content."""

    text: str
    encoding: str
    """The name of the encoding it came in."""


def read_page(
    path: Path, data: dict[str, Any], *, header_charset: str | None, max_bytes: int
) -> Page:
    """Read a page, in the data's `encoding` if it has one.

    `header_charset` is the encoding that the server named.

    Raises: BadFile, when it is too large; BadData.
    """
    size = regular(path).stat().st_size
    if size > max_bytes:
        raise BadFile(
            f"{shown(path.name)} has {size} bytes, but a page may have only {max_bytes}; "
            "the operator can set max_bytes when registering the task"
        )
    asked = None if data.get("encoding") is None else text(data, "encoding", default="")
    page, encoding = decoded(path.read_bytes(), asked=asked, header=header_charset)
    return Page(text=page, encoding=encoding)


def header_charsets(job: RunningJob, data: dict[str, Any], *, count: int) -> list[str | None]:
    """The encoding that the server named for each file, if it did.

    For files of the run's folder, `encodings` lists them, as `fetch` returns it; for the job's
    input, its content type names it.

    Raises: BadData.
    """
    if data.get("location") is None:
        return [charset_of(job.input.content_type if job.input else None)] * count
    charsets = data.get("encodings")
    if charsets is None:
        return [None] * count
    if not isinstance(charsets, list) or not all(isinstance(x, str | None) for x in charsets):
        raise BadData(f"encodings={shown(charsets)}: give a list with a text or null for each file")
    if len(charsets) != count:
        raise BadData(f"encodings lists {len(charsets)} for {count} files: give one per file")
    return charsets
