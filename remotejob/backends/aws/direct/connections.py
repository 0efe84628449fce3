"""A pool of connections to one endpoint, kept open between requests."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import wait_for_read

from remotejob.backends.aws.direct.http_response import (
    Answer,
    Broken,
    Head,
    read_answer,
    read_content,
    read_head,
)

MOST_IDLE: Final = 64
"""Idle connections kept for later requests: room for the polls of all lanes and a thread per job.
More are in use while many files are open."""


class Request(NamedTuple):
    """An HTTP request. A tuple, because tuples are the cheapest to create."""

    method: str
    target: str
    """The path and query."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A response whose body has not been read."""

    status_code: int
    headers: Mapping[str, str]
    """Names are in lower case."""
    body: io.RawIOBase | io.BytesIO
    """Read it to its end, or close it."""


class Connections:
    """Opens as many connections as there are concurrent requests. Thread-safe."""

    def __init__(self, url: str, *, connect_s: float, ca_bundle: str) -> None:
        """`ca_bundle` is the path to the trusted certificates."""
        self._url = url
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._host_line = f" HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._secure = parts.scheme == "https"
        self._ca_bundle = ca_bundle
        self._connect_s = connect_s
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        # nobody closes an installation, so close idle connections when this object is collected
        weakref.finalize(self, _close, self._idle)
        _ALL.add(self)

    def ask(self, request: Request, *, read_s: float) -> Answer:
        """Send a request and read the response; `read_s` limits the wait for each part of it.

        Raises: botocore's connection errors, as its own clients do. Unless connecting failed, the
        request may have taken effect.
        """
        connection = self._take()
        try:
            self._send(connection, request, read_s)
            answer = read_answer(connection.stream)
            connection.check_end()
        except BaseException as problem:
            self._give_up(connection, problem)
            raise
        self._keep(connection, last=answer.last)
        return answer

    def open(self, request: Request, *, read_s: float) -> Opened:
        """Send a request and read the head of the response; `read_s` limits each wait.

        Raises: as `ask`.
        """
        connection = self._take()
        try:
            self._send(connection, request, read_s)
            head = read_head(connection.stream)
            if head.size:
                return Opened(head.status_code, head.headers, _Body(self, connection, head))
            whole = read_content(head, connection.stream)
            connection.check_end()
        except BaseException as problem:
            self._give_up(connection, problem)
            raise
        self._keep(connection, last=whole.last)
        return Opened(head.status_code, head.headers, io.BytesIO(whole.content))

    def _send(self, connection: _Connection, request: Request, read_s: float) -> None:
        connection.set_timeout(read_s)
        connection.socket.sendall(self._serialized(request))

    def _give_up(self, connection: _Connection, problem: BaseException) -> None:
        connection.close()
        # the other idle connections may be broken too; the next try should open a new one
        self.drop_idle()
        if isinstance(problem, TimeoutError):
            raise ReadTimeoutError(endpoint_url=self._url, error=problem) from problem
        if isinstance(problem, Broken | OSError):
            raise ConnectionClosedError(endpoint_url=self._url, error=problem) from problem

    def _keep(self, connection: _Connection, *, last: bool) -> None:
        with self._lock:
            kept = not last and len(self._idle) < MOST_IDLE
            if kept:
                self._idle.append(connection)
        if not kept:
            connection.close()

    def drop_idle(self) -> None:
        """Close all connections that no request is using."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _close(idle)

    def after_fork(self) -> None:
        """Forget the parent process's connections and its lock, which a thread there may hold."""
        self._lock = threading.Lock()
        self.drop_idle()

    def _serialized(self, request: Request) -> bytes:
        """Source: RFC 9112, "HTTP/1.1", 3 and 6.3."""
        lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
        first = f"{request.method} {request.target}{self._host_line}"
        head = "".join([first, *lines, f"Content-Length: {len(request.body)}\r\n\r\n"])
        return head.encode("latin-1") + request.body

    def _take(self) -> _Connection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                # reuse the newest, so that AWS closes the oldest when fewer are needed
                connection = self._idle.pop()
            # no response is due, so if it is readable, AWS has closed it
            if not wait_for_read(connection.socket, timeout=0):
                return connection
            connection.close()
        return self._open()

    def _open(self) -> _Connection:
        opened: socket.socket | None = None
        try:
            opened = socket.create_connection((self._host, self._port), self._connect_s)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                context = _tls_context(self._ca_bundle)
                opened = context.wrap_socket(opened, server_hostname=self._host)
        except OSError as problem:
            if opened is not None:
                opened.close()
            raise _error_type(problem)(endpoint_url=self._url, error=problem) from problem
        return _Connection(opened)


@cache
def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Cached, because reading the certificates is slow."""
    return ssl.create_default_context(cafile=ca_bundle)


class _Source(socket.SocketIO):
    """Reads from a socket, or only pretends to."""

    dry = False

    def readinto(self, buffer: Any) -> int | None:
        return None if self.dry else super().readinto(buffer)


class _Connection:
    """One connection and its read buffer."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket: Final = opened
        self._source: Final = _Source(opened, "r")
        self.stream: Final = io.BufferedReader(self._source)
        self._timeout: float | None = None

    def check_end(self) -> None:
        """Check that nothing follows the response: it would be taken for the next one.

        Raises: Broken.
        """
        # while it is dry, a peek returns what is in the buffer and asks the system for nothing
        self._source.dry = True
        beyond = self.stream.peek(1)
        self._source.dry = False
        if beyond or (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            raise Broken("the response has bytes beyond its end")

    def set_timeout(self, seconds: float) -> None:
        """Limit the wait for each read and write."""
        if seconds != self._timeout:
            self.socket.settimeout(seconds)
            self._timeout = seconds

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class _Body(io.RawIOBase):
    """Streams a response's body. Once it is read, its connection returns to the pool."""

    def __init__(self, connections: Connections, connection: _Connection, head: Head) -> None:
        assert head.size is not None
        self._connections = connections
        self._connection: _Connection | None = connection
        self._left = head.size
        self._last = head.last

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: ConnectionError, when the body ends early or times out."""
        if self._connection is None:
            return 0
        try:
            count = self._connection.stream.readinto(memoryview(buffer)[: self._left])
        except OSError as problem:
            raise ConnectionError(f"the download broke off: {problem}") from problem
        if not count:
            raise ConnectionError(f"the download broke off: {self._left} bytes are missing")
        self._left -= count
        self._return_if_done()
        return count

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # unread content is left on it, so it cannot be reused
            connection.close()
        super().close()

    def _return_if_done(self) -> None:
        if self._left == 0 and self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.check_end()
            except Broken as problem:
                connection.close()
                raise ConnectionError(f"the download broke off: {problem}") from problem
            self._connections._keep(connection, last=self._last)


def _error_type(problem: OSError) -> type[BotoCoreError]:
    if isinstance(problem, TimeoutError):
        return ConnectTimeoutError
    return SSLError if isinstance(problem, ssl.SSLError) else EndpointConnectionError


def _close(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.close()


_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_ALL):
        connections.after_fork()


if hasattr(os, "register_at_fork"):
    # in a preforking server, two processes must not share a connection
    os.register_at_fork(after_in_child=_after_fork)
