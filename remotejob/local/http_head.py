"""Read the head of an HTTP request, and refuse what two readers could understand in two ways.

Source: RFC 9112, "HTTP/1.1", 3 to 6 and 11.2, "Request Smuggling".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Final

MOST_HEADER_BYTES: Final = 65_536
"""Enough for 2 KB of S3 metadata and 8 KB of session token, several times."""

MOST_CONTENT_BYTES: Final = 5_500 << 20
"""Of any request: an object of 5 GiB, the largest that S3 takes at once, in chunks."""

_TARGET: Final = re.compile(r"/[!-\"$-~]*")
"""A path and query in visible ASCII. A fragment never belongs in a request."""
_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")
_METADATA_NAME: Final = re.compile(r"x-amz-meta-[a-z0-9!#$%&'*+.^_`|~-]+")
"""S3 tells `a_b` from `a-b` in the names of metadata only."""
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The request line and headers of a request."""

    method: str
    path: str
    """As sent, percent-encoded."""
    query: str
    """As sent, without the question mark."""
    headers: Mapping[str, str]
    """Names are in lower case, each once."""
    length: int
    """Bytes of content that follow."""


class RefusedHead(Exception):
    """Another reader could take this request for a different one, or it is too large for any."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status: Final = status


def read_head(*, request_line: str, version: str, received: Message) -> Head:
    """The head of a request, as `http.server` received it.

    Raises: RefusedHead.
    """
    words = request_line.split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or len(words) != 3:
        raise RefusedHead("the request line is not that of HTTP/1.1")
    method, target, _ = words
    # after two slashes, some readers expect the name of a host
    if not _TARGET.fullmatch(target) or target.startswith("//"):
        raise RefusedHead("the request's target is not a path and a query in ASCII")
    if received.defects or received.get_payload():
        raise RefusedHead("the request has a line that is not a header")
    headers = _headers(received.items())
    if "transfer-encoding" in headers:
        message = "the embedded AWS takes no Transfer-Encoding; send a Content-Length"
        raise RefusedHead(message, status=411)
    path, _, query = target.partition("?")
    return Head(method=method, path=path, query=query, headers=headers, length=_length(headers))


def _headers(received: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    folded: set[str] = set()
    size = 0
    for sent, value in received:
        name = sent.lower()
        size += len(name) + len(value)
        if not (_NAME.fullmatch(name) or _METADATA_NAME.fullmatch(name)):
            raise RefusedHead(f"the request has a header with the name {sent[:200]!r}")
        if not _VALUE.fullmatch(value):
            raise RefusedHead(f"the header {sent[:200]} has control characters in its value")
        # WSGI takes an underscore for a dash
        alike = name.replace("_", "-")
        if alike in folded:
            raise RefusedHead(f"the request has more than one header {sent[:200]}")
        folded.add(alike)
        headers[name] = value.strip(" \t")
    if size > MOST_HEADER_BYTES:
        message = f"the request has more than {MOST_HEADER_BYTES} bytes of headers"
        raise RefusedHead(message, status=431)
    return headers


def _length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length")
    if text is None:
        return 0
    if not _LENGTH.fullmatch(text):
        raise RefusedHead(f"the Content-Length is {text[:200]!r}, not a number of bytes")
    length = int(text)
    if length > MOST_CONTENT_BYTES:
        message = f"the content has {length} bytes; at most {MOST_CONTENT_BYTES} are taken"
        raise RefusedHead(message, status=413)
    return length
