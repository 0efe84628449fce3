"""Parses the HTTP responses that AWS services send.

`http.client` parses headers with the email package, which takes a quarter of a plain job's CPU
time.

Source: RFC 9112, "HTTP/1.1", 4 to 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple

MOST_CONTENT: Final = 1 << 27
"""Bytes of content that we read into memory: twice the largest answer of SQS, ten messages of 1 MiB
whose every character is escaped."""

_MOST_FILE: Final = 1 << 46
"""Bytes of content that we stream: more than the largest object in S3."""
_MOST_HEAD: Final = 65_536
_MOST_HEADERS: Final = 100
_MOST_INTERIM: Final = 10
_STATUS: Final = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_HEADER_LINES: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r?\n)*+")
_BLANK: Final = (b"\r\n", b"\n")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE: Final = re.compile(r"([0-9A-Fa-f]{1,8})[\t ]*(?:;.*)?")
_FRAMING: Final = ("content-length", "transfer-encoding")
_EMPTY: Final = frozenset({204, 304})
"""Statuses without content."""


class Broken(Exception):
    """What we received is not one complete HTTP response."""


class Answer(NamedTuple):
    """An HTTP response."""

    status_code: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    content: bytes
    last: bool
    """Whether the connection cannot be reused."""


class Head(NamedTuple):
    """The status and headers of a response."""

    status_code: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    size: int | None
    """Bytes of content; None if only reading it shows where it ends."""
    last: bool
    """Whether the connection cannot be reused."""


def read_answer(stream: BinaryIO) -> Answer:
    """Read the next response of a connection.

    Raises: Broken; what reading from the stream raises.
    """
    return read_content(read_head(stream), stream)


def read_head(stream: BinaryIO) -> Head:
    """Read the next response of a connection up to its content.

    Raises: as `read_answer`.
    """
    for _ in range(_MOST_INTERIM):
        stays, status, headers = _lines(stream)
        # an interim response is followed by another; we ask for no other protocol
        if status == 101 or status >= 200:
            break
    if status < 200:
        raise Broken(f"the response has the status {status}, which is none to end with")
    size = _size(status, headers)
    # content without a length ends when the connection closes
    stays = stays and "close" not in headers.get("connection", "").lower()
    return Head(status, headers, size, not (stays and (size is not None or _chunked(headers))))


def _size(status: int, headers: Mapping[str, str]) -> int | None:
    length, coding = (headers.get(name) for name in _FRAMING)
    if coding is not None and (length is not None or coding.lower() != "chunked"):
        raise Broken("the response says in two ways, or in an unknown way, how long it is")
    if length is None:
        return 0 if status in _EMPTY else None
    if not _LENGTH.fullmatch(length) or int(length) > _MOST_FILE:
        raise Broken(f"the response has the length {length[:20]!r}")
    size = int(length)
    return 0 if status in _EMPTY else size


def read_content(head: Head, stream: BinaryIO) -> Answer:
    """Read the content that follows a head.

    Raises: as `read_answer`.
    """
    if head.size is not None:
        content = _exactly(stream, head.size)
    elif _chunked(head.headers):
        content = _chunks(stream)
    else:
        content = stream.read(MOST_CONTENT + 1)
        _check_size(len(content))
    return Answer(head.status_code, head.headers, content, head.last)


def _chunked(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" in headers


def _lines(stream: BinaryIO) -> tuple[bool, int, dict[str, str]]:
    """Whether the connection stays by default, the status, and the headers."""
    first = _line(stream, _MOST_HEAD)
    status = _STATUS.fullmatch(first)
    if status is None:
        raise Broken(f"the response begins with {first[:40]!r}, not HTTP/1.1 and a status")
    lines: list[bytes] = []
    left = _MOST_HEAD - len(first)
    while len(line := stream.readline(max(left, 0))) > 2 or line not in _BLANK:
        lines.append(line)
        left -= len(line)
        if not line.endswith(b"\n") or len(lines) > _MOST_HEADERS:
            message = (
                f"the headers break off, or are more than {_MOST_HEADERS} or {_MOST_HEAD} bytes"
            )
            raise Broken(message)
    # all at a time: each of its own takes twice as long
    head = b"".join(lines)
    if not _HEADER_LINES.fullmatch(head):
        raise Broken(f"the response has lines that are not headers: {head[:200]!r}")
    headers: dict[str, str] = {}
    for text in head.decode("latin-1").split("\n")[:-1]:
        name, _, value = text.partition(":")
        name = name.lower()
        if name in headers and name in _FRAMING:
            raise Broken(f"the response has more than one header {name}")
        headers[name] = value.strip(" \t\r")
    return status[1] == "1", int(status[2]), headers


def _chunks(stream: BinaryIO) -> bytes:
    content: list[bytes] = []
    total = 0
    while size := _chunk_size(stream):
        total += size
        _check_size(total)
        content.append(_exactly(stream, size))
        if _line(stream, 2):
            raise Broken("the response has a chunk that is longer than it says")
    # skip the trailers
    left = _MOST_HEAD
    while line := _line(stream, left):
        left -= len(line)
    return b"".join(content)


def _chunk_size(stream: BinaryIO) -> int:
    line = _line(stream, _MOST_HEAD)
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise Broken(f"the response has {line[:20]!r} where the size of a chunk belongs")
    return int(found[1], 16)


def _line(stream: BinaryIO, most: int) -> str:
    line = stream.readline(max(most, 2))
    if not line.endswith(b"\n"):
        raise Broken(
            "the response breaks off within a line, or the line is too long"
            if line
            else "the connection was closed"
        )
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    _check_size(size)
    content = stream.read(size)
    if len(content) != size:
        raise Broken(f"the response ends after {len(content)} of {size} bytes")
    return content


def _check_size(size: int) -> None:
    if size > MOST_CONTENT:
        raise Broken(f"the response has {size} bytes or more; at most {MOST_CONTENT} are read")
