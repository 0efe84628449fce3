"""Sends one HTTP request to a checked address, with limits on time and bytes, for `fetch`."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Final

from remotejob.builtin.address_guard import Target
from remotejob.builtin.content_encoding import Decompressed, codings_of
from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchFailed, FetchRefused

_PIECE: Final = 1 << 16
_LONGEST_CONNECT: Final = 10.0
"""Seconds for one address, so that a dead one leaves time for the next."""


class Deadline:
    """The end of a fetch's time, however slowly the server sends.

    A socket's own timeout restarts with each byte, so a timer thread cuts the connection.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._ends: Final = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left, above zero.

        Raises: FetchFailed, when none are left.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise FetchFailed(
                f"the fetch took longer than {self._seconds:g} s; "
                "the operator can allow more with Fetch(timeout=...)"
            )
        return left

    @contextmanager
    def cutting(self, connection: _Connection) -> Iterator[None]:
        timer = threading.Timer(self.left(), connection.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            # wait, or a late cut could hit a new socket with the same descriptor
            timer.join()


class _Connection(HTTPConnection):
    """A connection to one of the target's addresses, and nowhere else."""

    def __init__(self, target: Target, deadline: Deadline, tls: ssl.SSLContext) -> None:
        # so that the Host header has the port only if it is not the default
        self.default_port = 443 if target.scheme == "https" else 80
        super().__init__(target.host, target.port)
        self._target = target
        self._deadline = deadline
        self._tls = tls

    def connect(self) -> None:
        plain = self._dialled()
        self.sock = plain
        if self._target.scheme == "https":
            host = self._target.host.rstrip(".")
            wrapped = self._tls.wrap_socket(
                plain, server_hostname=host, do_handshake_on_connect=False
            )
            self.sock = wrapped
            wrapped.settimeout(self._deadline.left())
            wrapped.do_handshake()

    def _dialled(self) -> socket.socket:
        problem: OSError | None = None
        for address in self._target.addresses:
            span = min(self._deadline.left(), _LONGEST_CONNECT)
            try:
                dialled = socket.create_connection((address, self._target.port), timeout=span)
            except OSError as error:
                problem = error
                continue
            dialled.settimeout(self._deadline.left())
            return dialled
        raise problem or OSError("no address")

    def cut(self) -> None:
        """End the connection while another thread reads from it."""
        sock = self.sock
        if sock is not None:
            with suppress(OSError):  # already closed
                # not the SSL socket's own method, which is not thread-safe
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


@contextmanager
def get(
    target: Target, *, deadline: Deadline, tls: ssl.SSLContext, user_agent: str
) -> Iterator[HTTPResponse]:
    """Send a GET and return the response with its body unread.

    Raises: FetchFailed, when the connection fails, even while the body is read.
    """
    connection = _Connection(target, deadline, tls)
    try:
        with deadline.cutting(connection):
            connection.request(
                "GET",
                target.path,
                headers={"User-Agent": user_agent, "Accept": "*/*", "Connection": "close"},
            )
            with connection.getresponse() as response:
                _check_framing(response)
                yield response
                deadline.left()
    except (OSError, HTTPException, ValueError) as problem:
        deadline.left()
        said = shown(f"{type(problem).__name__}: {problem}")
        raise FetchFailed(f"{shown(target.host)}: {said}") from problem
    finally:
        connection.close()


def _check_framing(response: HTTPResponse) -> None:
    """Source: RFC 9112, 6.3, "Message Body Length".

    Raises: FetchFailed, when the head does not say in one way where the body ends.
    """
    lengths = response.headers.get_all("Content-Length", [])
    codings = response.headers.get_all("Transfer-Encoding", [])
    plain = all(length.isascii() and length.isdecimal() for length in lengths)
    chunked = not codings or [coding.lower() for coding in codings] == ["chunked"]
    if not (plain and chunked) or len(lengths) + len(codings) > 1:
        raise FetchFailed(
            "the server says in two ways, or in an unknown way, how long the file is: "
            f"{shown(str([*lengths, *codings]))}"
        )


def beginning(
    response: HTTPResponse,
    *,
    most: int,
    max_ratio: int,
    deadline: Deadline,
    check: Callable[[], None],
) -> bytes:
    """The first bytes of the body, decompressed, up to `most`; the rest is not read.

    Raises: FetchRefused, when it is compressed in an unknown way, or decompresses to more than
    `max_ratio` times its size; FetchFailed, when it is damaged or cut short.
    """
    body = Decompressed(
        codings_of(response.headers.get_all("Content-Encoding", [])), max_ratio=max_ratio
    )
    promised, received, read = response.length, 0, bytearray()
    while piece := response.read1(_PIECE):
        check()
        received += len(piece)
        for part in body.feed(piece):
            deadline.left()
            read += part
            if len(read) >= most:
                return bytes(read[:most])
        deadline.left()
    deadline.left()  # a cut connection looks like the end of the body
    _check_whole(received, promised)
    body.finish()
    return bytes(read)


def save(
    response: HTTPResponse,
    to: Path,
    *,
    most: int,
    max_ratio: int,
    deadline: Deadline,
    check: Callable[[], None],
) -> int:
    """Stream the body to a file, decompressed; return the file's size in bytes.

    Raises: FetchRefused, when it is larger than `most`, is compressed in an unknown way, or
    decompresses to more than `max_ratio` times its size; FetchFailed, when it is damaged or cut
    short.
    """
    codings = codings_of(response.headers.get_all("Content-Encoding", []))
    body = Decompressed(codings, max_ratio=max_ratio)
    promised = response.length
    if promised is not None and promised > most:
        raise _too_large(promised, most)
    received = size = 0
    with to.open("wb") as file:
        while piece := response.read1(_PIECE):
            check()
            received += len(piece)
            _check_size(received, most)
            for part in body.feed(piece):
                deadline.left()
                size += len(part)
                _check_size(size, most)
                file.write(part)
            deadline.left()
    deadline.left()  # a cut connection looks like the end of the body
    _check_whole(received, promised)
    body.finish()
    return size


def _check_whole(received: int, promised: int | None) -> None:
    if promised is not None and received != promised:
        raise FetchFailed(f"the body ended after {received} of {promised} bytes")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise _too_large(size, most)


def _too_large(size: int, most: int) -> FetchRefused:
    return FetchRefused(
        f"the file has at least {size} bytes, but this job may fetch only {most} more; "
        "the operator can allow more with Fetch(max_bytes=...)"
    )
