"""One HTTP request to an address that was looked at, with an end to its time and its bytes."""

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
from remotejob.builtin.fields import shown
from remotejob.builtin.refusals import FetchFailed, FetchRefused

_PIECE: Final = 1 << 16
_LONGEST_CONNECT: Final = 10.0
"""Seconds for one address, so that a dead one leaves time for the next."""


class Deadline:
    """The end of a fetch, however little and slowly the other side sends.

    A socket's own timeout begins anew with each byte. So a thread cuts the connection at the end.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds
        self._ends: Final = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than none.

        Raises: FetchFailed, when there are none.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise FetchFailed(
                f"it took longer than {self._seconds:g} s; "
                "the operator can give it more with Fetch(timeout=...)"
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
            # no cut of a socket that somebody else has by then
            timer.join()


class _Connection(HTTPConnection):
    """A connection to one of the target's addresses, and nowhere else."""

    def __init__(self, target: Target, deadline: Deadline, tls: ssl.SSLContext) -> None:
        # so that the Host header names the port only where it must
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
        """End the connection under whoever reads from it."""
        sock = self.sock
        if sock is not None:
            with suppress(OSError):  # it is gone already
                # not the SSL socket's own method, which is not for use from another thread
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


@contextmanager
def get(target: Target, *, deadline: Deadline, tls: ssl.SSLContext) -> Iterator[HTTPResponse]:
    """The answer to a GET, its body unread.

    Raises: FetchFailed, when the connection fails, also while the body is read.
    """
    connection = _Connection(target, deadline, tls)
    try:
        with deadline.cutting(connection):
            connection.request(
                "GET",
                target.path,
                headers={"User-Agent": "remotejob", "Accept": "*/*", "Connection": "close"},
            )
            with connection.getresponse() as response:
                yield response
                deadline.left()
    except (OSError, HTTPException, ValueError) as problem:
        deadline.left()
        said = shown(f"{type(problem).__name__}: {problem}")
        raise FetchFailed(f"{shown(target.host)}: {said}") from problem
    finally:
        connection.close()


def save(
    response: HTTPResponse, to: Path, *, most: int, deadline: Deadline, check: Callable[[], None]
) -> int:
    """Write the body to a file as it comes; return its bytes.

    Raises: FetchRefused, when they are more than `most`; FetchFailed, when they are cut short.
    """
    promised = response.length
    if promised is not None and promised > most:
        raise _too_large(promised, most)
    size = 0
    with to.open("wb") as file:
        while piece := response.read1(_PIECE):
            check()
            deadline.left()
            size += len(piece)
            if size > most:
                raise _too_large(size, most)
            file.write(piece)
    deadline.left()  # a connection that was cut looks like the end of the body
    if promised is not None and size != promised:
        raise FetchFailed(f"the body ended after {size} of {promised} bytes")
    return size


def _too_large(size: int, most: int) -> FetchRefused:
    return FetchRefused(
        f"{size} bytes or more, and {most} are left of what a job may fetch; "
        "the operator can allow more with Fetch(max_bytes=...)"
    )
