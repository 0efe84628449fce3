"""Reads text that people saved: the same rule for manifests, settings and files on a command line.

UTF-8, or UTF-16 or UTF-32 with a byte order mark, as Windows writes it; the mark is no part of the
text. Lines end in LF, CR LF or CR. A NUL byte is no text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, Final

_PIECE: Final = 64 * 1024

_MARKS: Final = (
    # the first bytes of UTF-32's are UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES: Final = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}

_END: Final = re.compile(r"\r\n|\n|\r")
_ENDS: Final = "\r\n"


class Unreadable(ValueError):
    """The bytes are no text; the message says where, and how to save the file."""

    def __init__(self, reason: str, place: _Place) -> None:
        super().__init__(
            f"{reason} (at line {place.line}, column {place.column}); save the file as UTF-8"
        )
        self.reason = reason
        self.line = place.line
        self.column = place.column


class LineTooLong(ValueError):
    """A line has more characters than are read at a time."""

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number} is too long")
        self.number = number


def decode(content: bytes) -> str:
    """The text of a file, with all line ends as LF. Raises: Unreadable."""
    text = "".join(_decoded(BytesIO(content)))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(stream: BinaryIO, *, longest: int) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, from 1, and with the line ends they have.

    Only one line is in memory at a time, of `longest` characters at most.

    Raises: Unreadable; LineTooLong.
    """
    number, left = 0, ""
    for piece in _decoded(stream):
        left += piece
        at = 0
        for found in _END.finditer(left):
            if found.end() == len(left) and found[0] == "\r":
                # a LF may follow in the next piece
                break
            number += 1
            line, at = left[at : found.end()], found.end()
            yield number, _checked(line, number, longest)
        left = left[at:]
        _checked(left, number + 1, longest)
    if left:
        yield number + 1, _checked(left, number + 1, longest)


def without_end(line: str) -> str:
    """A line without its line end."""
    return line.rstrip(_ENDS)


def _checked(line: str, number: int, longest: int) -> str:
    if len(line) > longest + len(_ENDS):
        raise LineTooLong(number)
    return line


def _decoded(stream: BinaryIO) -> Iterator[str]:
    first = stream.read(_PIECE)
    while first and len(first) < len(codecs.BOM_UTF32_LE) and (more := stream.read(_PIECE)):
        first += more
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _MARKS if first.startswith(mark)), (b"", "utf-8")
    )
    decoder = codecs.getincrementaldecoder(encoding)()
    place = _Place()
    piece = first[len(mark) :]
    while True:
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as problem:
            place.pass_over(problem.object[: problem.start].decode(encoding))
            raise Unreadable(f"not {_NAMES.get(encoding, 'UTF-32')}", place) from None
        if "\0" in text:
            place.pass_over(text[: text.index("\0")])
            raise Unreadable("no text, with a NUL byte", place)
        place.pass_over(text)
        yield text
        if not piece:
            return
        piece = stream.read(_PIECE)


class _Place:
    """Where in a text its reader is."""

    def __init__(self) -> None:
        self.line, self.column = 1, 1
        self._after_cr = False

    def pass_over(self, text: str) -> None:
        if not text:
            return
        plain = text.removeprefix("\n") if self._after_cr else text
        self._after_cr = text.endswith("\r")
        *before, last = plain.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.line += len(before)
        self.column = len(last) + 1 if before else self.column + len(last)
