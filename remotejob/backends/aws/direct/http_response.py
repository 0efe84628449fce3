"""Reading an HTTP answer, as far as services of AWS give one.

`http.client` reads headers as it would those of a mail, which costs a quarter of a plain job's
processor time.

Source: RFC 9112, "HTTP/1.1", 4 to 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Final, NamedTuple

_LONGEST_LINE: Final = 65_536
_MOST_HEADERS: Final = 100


class Broken(Exception):
    """What came is no answer, or not the whole of one."""


class Answer(NamedTuple):
    """What came back over HTTP."""

    status_code: int
    headers: Mapping[str, str]
    """By names in lower case."""
    content: bytes
    last: bool
    """Whether the connection carries no other."""


class Head(NamedTuple):
    """What an answer says before its content."""

    status_code: int
    headers: Mapping[str, str]
    """By names in lower case."""
    size: int | None
    """Of the content that follows; None where only reading it tells."""
    last: bool
    """Whether the connection carries no other."""


def read_answer(stream: BinaryIO) -> Answer:
    """The next answer of a connection.

    Raises: Broken; what reading from the stream raises.
    """
    return read_content(read_head(stream), stream)


def read_head(stream: BinaryIO) -> Head:
    """The next answer of a connection, as far as to its content.

    Raises: as `read_answer`.
    """
    protocol, status, headers = _lines(stream)
    while 100 <= status < 200:
        # on the way to the answer
        protocol, status, headers = _lines(stream)
    chunked = _chunked(headers)
    length = headers.get("content-length")
    size = None if chunked or length is None else _number(length, 10)
    stays = protocol == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    # without a length it ends with the connection
    return Head(status, headers, size, not (stays and (chunked or size is not None)))


def read_content(head: Head, stream: BinaryIO) -> Answer:
    """What follows a head, whole.

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
        raise Broken(f"it begins with {protocol[:20]!r}, which is no HTTP/1.1")
    headers: dict[str, str] = {}
    while line := _line(stream):
        if len(headers) == _MOST_HEADERS:
            raise Broken(f"it has more than {_MOST_HEADERS} headers")
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return protocol, _number(status[:3], 10), headers


def _chunks(stream: BinaryIO) -> bytes:
    content = []
    while size := _number(_line(stream).partition(";")[0], 16):
        content.append(_exactly(stream, size))
        _line(stream)
    # trailers say nothing that is asked for
    while _line(stream):
        pass
    return b"".join(content)


def _line(stream: BinaryIO) -> str:
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise Broken("it breaks off within a line" if line else "the connection was closed")
    return line.decode("latin-1").rstrip("\r\n")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise Broken(f"it breaks off after {len(content)} of {size} bytes")
    return content


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise Broken(f"{text[:20]!r} is no number") from None
    if number < 0:
        raise Broken(f"{text[:20]!r} is no size")
    return number
