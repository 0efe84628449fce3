"""Reads manifests: files that describe the children of a batch, one per line.

They are streamed: only one line is in memory at a time, and its length is limited.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown
from remotejob.domain.text_files import LineTooLong, Unreadable, lines
from remotejob.jobs.submission.csv_rows import NotCsv, Row

LONGEST_LINE: Final = 1024 * 1024
"""Bytes of a line, or of a CSV row."""

_LINE_END: Final = 2

Rows = Iterator[tuple[int, Any]]
"""Line numbers, from 1, and the values on those lines."""


def reader_of(name: str) -> Callable[[BinaryIO], Rows]:
    """The function that reads a manifest of this name. Raises: InvalidData."""
    reader = _READERS.get(PurePosixPath(name).suffix.lower())
    if reader is None:
        raise InvalidData(
            f"source {shown(name)}: a manifest's name ends in {', '.join(_READERS)}; to make a job "
            "of each object under a prefix of the input bucket, give 's3://bucket/prefix/' with "
            "the slash at the end"
        )
    return reader


def json_lines(stream: BinaryIO) -> Rows:
    """The values of a JSON-lines file; blank lines are skipped.

    Raises: InvalidData, naming the line.
    Source: https://jsonlines.org.
    """
    for number, line in _lines(stream):
        if not line or line.isspace():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            raise InvalidData(f"line {number} is not JSON: {problem}") from None
        yield number, value


def csv_rows(stream: BinaryIO) -> Rows:
    """The rows of a CSV file, each a dict of texts keyed by the names in the first row.

    Raises: InvalidData, naming the line on which the row ends.
    Source: RFC 4180, "Common Format and MIME Type for CSV Files".
    """
    header: Sequence[str] | None = None
    row, size, number = Row(), 0, 0
    for number, line in _lines(stream):
        size += len(line.encode())
        if size > LONGEST_LINE + _LINE_END:
            raise InvalidData(_too_long(number))
        try:
            row.take(line)
        except NotCsv as problem:
            raise InvalidData(f"line {number} is not CSV: {problem}") from None
        if row.open:
            continue
        fields, row, size = row.fields, Row(), 0
        if not fields:
            continue
        if header is None:
            header = _header(fields, number)
            continue
        if len(fields) != len(header):
            raise InvalidData(
                f"line {number} has {len(fields)} fields, and the first row {len(header)}"
            )
        yield number, dict(zip(header, fields, strict=True))
    if row.open:
        raise InvalidData(f"line {number} is not CSV: the file ends within quotes")


def _header(row: Sequence[str], number: int) -> Sequence[str]:
    mark = next((mark for mark in (";", "\t") if mark in row[0]), None) if len(row) == 1 else None
    if mark is not None:
        raise InvalidData(
            f"line {number}: the first row has one field, {shown(row[0])}, with {mark!r} in it; "
            "fields must be separated by commas; save the file with commas"
        )
    if "" in row or len(set(row)) != len(row):
        raise InvalidData(
            f"line {number}: the first row must name each field once, but is "
            f"{shown(', '.join(row))}"
        )
    return row


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines with their line ends. Raises: InvalidData."""
    try:
        for number, line in lines(stream, longest=LONGEST_LINE):
            # a character may take several bytes
            if len(line.encode()) > LONGEST_LINE + _LINE_END:
                raise InvalidData(_too_long(number))
            yield number, line
    except Unreadable as problem:
        raise InvalidData(
            f"line {problem.line} is {problem.reason} (at column {problem.column}); save the file "
            "as UTF-8"
        ) from None
    except LineTooLong as problem:
        raise InvalidData(_too_long(problem.number)) from None


def _too_long(number: int) -> str:
    return (
        f"line {number} is longer than {LONGEST_LINE} bytes; put large values into files, and "
        "their names into the manifest"
    )


_READERS: Final = {".jsonl": json_lines, ".ndjson": json_lines, ".csv": csv_rows}
