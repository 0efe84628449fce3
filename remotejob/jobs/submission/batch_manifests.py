"""Reads manifests: files that describe the children of a batch, one per line.

They are streamed: only one line is in memory at a time, and its length is limited.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown

LONGEST_LINE: Final = 1024 * 1024
"""Bytes of a line, or of a CSV row."""

_PIECE: Final = 64 * 1024

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
    limited = _Limited(stream)
    # strict: refuse invalid CSV instead of guessing
    rows = csv.reader(limited, strict=True)
    header: Sequence[str] | None = None
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            raise InvalidData(f"line {rows.line_num} is not CSV: {problem}") from None
        limited.row_ends()
        if not row:
            continue
        if header is None:
            header = _header(row, rows.line_num)
            continue
        if len(row) != len(header):
            raise InvalidData(
                f"line {rows.line_num} has {len(row)} fields, and the first row {len(header)}"
            )
        yield rows.line_num, dict(zip(header, row, strict=True))


def _header(row: Sequence[str], number: int) -> Sequence[str]:
    mark = next((mark for mark in (";", "\t") if mark in row[0]), None) if len(row) == 1 else None
    if mark is not None:
        raise InvalidData(
            f"line {number}: the first row has one field, {row[0]!r}, with {mark!r} in it; fields "
            "must be separated by commas; save the file with commas"
        )
    if "" in row or len(set(row)) != len(row):
        raise InvalidData(
            f"line {number}: the first row must name each field once, but is {', '.join(row)!r}"
        )
    return row


class _Limited(Iterator[str]):
    """Lines for a CSV reader. It joins quoted lines into one row, so this limits rows too."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = _lines(stream)
        self._size = 0

    def __next__(self) -> str:
        number, line = next(self._lines)
        self._size += len(line) + 1
        if self._size > LONGEST_LINE:
            raise InvalidData(_too_long(number))
        return f"{line}\n"

    def row_ends(self) -> None:
        self._size = 0


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    number, left = 0, b""
    while piece := stream.read(_PIECE):
        *whole, left = (left + piece).split(b"\n")
        for line in whole:
            number += 1
            yield number, _text(line, number)
        if len(left) > LONGEST_LINE:
            raise InvalidData(_too_long(number + 1))
    if left:
        yield number + 1, _text(left, number + 1)


def _text(line: bytes, number: int) -> str:
    if len(line) > LONGEST_LINE:
        raise InvalidData(_too_long(number))
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as problem:
        raise InvalidData(
            f"line {number} is not UTF-8: {problem}; save the file as UTF-8"
        ) from None
    # the byte order mark, which some programs write first
    return text.removeprefix("\ufeff") if number == 1 else text


def _too_long(number: int) -> str:
    return (
        f"line {number} is longer than {LONGEST_LINE} bytes; put large values into files, and "
        "their names into the manifest"
    )


_READERS: Final = {".jsonl": json_lines, ".ndjson": json_lines, ".csv": csv_rows}
