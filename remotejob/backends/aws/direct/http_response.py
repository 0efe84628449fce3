"""Parses the HTTP responses that AWS services send.

`http.client` parses headers with the email package, which takes a quarter of a plain job's CPU
time.

Source: RFC 9112, "HTTP/1.1", 4 to 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple

_LONGEST_LINE: Final = 65_536
_MOST_HEADERS: Final = 100


class Broken(Exception):
    """What we received is not a complete HTTP response."""


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
    protocol, status, headers = _lines(stream)
    while 100 <= status < 200:
        # an interim response; the final one follows
        protocol, status, headers = _lines(stream)
    chunked = _chunked(headers)
    length = headers.get("content-length")
    size = None if chunked or length is None else _number(length, 10)
    stays = protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    # content without a length ends when the connection closes
    return Head(status, headers, size, not (stays and (chunked or size is not None)))


def read_content(head: Head, stream: BinaryIO) -> Answer:
    """Read the content that follows a head.

    Raises: as `read_answer`.
    """
    if head.size is not None:
        content = _exactly(stream, head.size)
    else:
        content = _chunks(stream) if _chunked(head.headers) else stream.read()
    return Answer(head.status_code, head.headers, content, head.last)


def _chunked(headers: Mapping[str, str]) -> bool:
    return headers.get("transfer-encoding", "").lower() == "chunked"


def _lines(stream: BinaryIO) -> tuple[str, int, dict[str, str]]:
    protocol, _, status = _line(stream).partition(" ")
    if not protocol.startswith("HTTP/1."):
        raise Broken(f"the response begins with {protocol[:20]!r}, not HTTP/1.1")
    headers: dict[str, str] = {}
    while line := _line(stream):
        if len(headers) == _MOST_HEADERS:
            raise Broken(f"the response has more than {_MOST_HEADERS} headers")
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return protocol, _number(status[:3], 10), headers


def _chunks(stream: BinaryIO) -> bytes:
    content = []
    while size := _number(_line(stream).partition(";")[0], 16):
        content.append(_exactly(stream, size))
        _line(stream)
    # skip the trailers
    while _line(stream):
        pass
    return b"".join(content)


def _line(stream: BinaryIO) -> str:
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise Broken(
            "the response breaks off within a line" if line else "the connection was closed"
        )
    return line.decode("latin-1").rstrip("\r\n")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise Broken(f"the response ends after {len(content)} of {size} bytes")
    return content


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise Broken(f"the response has {text[:20]!r} where a number belongs") from None
    if number < 0:
        raise Broken(f"the response has {text[:20]!r} where a size belongs")
    return number
