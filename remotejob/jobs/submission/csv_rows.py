"""Reads rows of CSV, byte for byte as they stand between quotes.

Python's reader limits fields by one setting for the whole process, which is not ours to change.
Source: RFC 4180, "Common Format and MIME Type for CSV Files".
"""

from __future__ import annotations

import re
from typing import Final

from remotejob.domain.text_files import without_end

_TO_CLOSING: Final = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')
"""Up to the quote that ends a field: the first that is not doubled."""


class NotCsv(ValueError):
    """The row breaks the rules of CSV."""


class Row:
    """A row, which takes its lines one by one until it has all its fields."""

    def __init__(self) -> None:
        self.fields: list[str] = []
        self._quoted: list[str] | None = None
        """The parts of a field whose closing quote has not come yet."""

    @property
    def open(self) -> bool:
        """Whether it goes on in the next line, within quotes."""
        return self._quoted is not None

    def take(self, line: str) -> None:
        """Read a line, with its line end. Raises: NotCsv."""
        end, at = len(without_end(line)), 0
        if self._quoted is None and end == 0:
            return
        while True:
            if self._quoted is None and line.startswith('"', at):
                self._quoted, at = [], at + 1
            if self._quoted is not None:
                closing = _TO_CLOSING.match(line, at)
                if closing is None:
                    self._quoted.append(line[at:])
                    return
                self._quoted.append(line[at : closing.end() - 1])
                self.fields.append("".join(self._quoted).replace('""', '"'))
                self._quoted, at = None, closing.end()
                if at < end and line[at] != ",":
                    raise NotCsv("',' expected after '\"'")
            else:
                comma = line.find(",", at, end)
                stop = end if comma == -1 else comma
                self.fields.append(line[at:stop])
                at = stop
            if at >= end:
                return
            at += 1
