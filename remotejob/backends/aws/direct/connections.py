"""Connections to one endpoint, kept open from request to request."""

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
"""Connections kept for other requests: twice the longest poll a lane can have open, beside a thread
a job. More are in use where many files are open at a time."""


class Request(NamedTuple):
    """What is sent over HTTP. Made for each request, so of what is made quickest."""

    method: str
    target: str
    """The path, and the query."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer whose content is yet to be read."""

    status_code: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: io.RawIOBase | io.BytesIO
    """To be read to its end, or closed."""


class Connections:
    """As many connections as there are requests at a time. Safe across threads."""

    def __init__(self, url: str, *, connect_s: float, ca_bundle: str) -> None:
        """`ca_bundle` is the path of the certificates to trust."""
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
        # nobody closes an installation: what was forgotten is closed here, as boto3's pools do it
        weakref.finalize(self, _close, self._idle)
        _ALL.add(self)

    def ask(self, request: Request, *, read_s: float) -> Answer:
        """Send a request and wait for its answer, so long for each part of it.

        Raises: botocore's errors of connection, as its own clients do. Whether the request had its
        effect the caller cannot know, unless there was no connection.
        """
        connection = self._take()
        try:
            self._send(connection, request, read_s)
            answer = read_answer(connection.stream)
        except BaseException as problem:
            self._give_up(connection, problem)
            raise
        self._keep(connection, last=answer.last)
        return answer

    def open(self, request: Request, *, read_s: float) -> Opened:
        """Send a request and wait for its answer to begin, so long for each part of it.

        Raises: as `ask`.
        """
        connection = self._take()
        try:
            self._send(connection, request, read_s)
            head = read_head(connection.stream)
            whole = read_content(head, connection.stream) if head.size is None else None
        except BaseException as problem:
            self._give_up(connection, problem)
            raise
        if whole is None:
            body = _Body(self, connection, head)
            return Opened(head.status_code, head.headers, body)
        self._keep(connection, last=whole.last)
        return Opened(head.status_code, head.headers, io.BytesIO(whole.content))

    def _send(self, connection: _Connection, request: Request, read_s: float) -> None:
        connection.wait_at_most(read_s)
        connection.socket.sendall(self._written(request))

    def _give_up(self, connection: _Connection, problem: BaseException) -> None:
        connection.close()
        # what befell this one may have befallen all: the next try is not to find them out
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

    def forked(self) -> None:
        """This is a new process: the connections are its parent's, as is whoever held the lock."""
        self._lock = threading.Lock()
        self.drop_idle()

    def _written(self, request: Request) -> bytes:
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
                # the one used last: the others may grow old enough for AWS to close them
                connection = self._idle.pop()
            # nothing is due on it: what can be read is its end
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
                context = _trusting(self._ca_bundle)
                opened = context.wrap_socket(opened, server_hostname=self._host)
        except OSError as problem:
            if opened is not None:
                opened.close()
            raise _kind_of(problem)(endpoint_url=self._url, error=problem) from problem
        return _Connection(opened)


@cache
def _trusting(ca_bundle: str) -> ssl.SSLContext:
    """Once for all: the certificates take a while to be read."""
    return ssl.create_default_context(cafile=ca_bundle)


class _Connection:
    """One connection, and what was read from it and not yet used."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket: Final = opened
        self.stream: Final = opened.makefile("rb")
        self._waits: float | None = None

    def wait_at_most(self, seconds: float) -> None:
        """For each part of what is to come."""
        if seconds != self._waits:
            self.socket.settimeout(seconds)
            self._waits = seconds

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class _Body(io.RawIOBase):
    """The content of an answer, as it comes. Once read, its connection carries other requests."""

    def __init__(self, connections: Connections, connection: _Connection, head: Head) -> None:
        assert head.size is not None
        self._connections = connections
        self._connection: _Connection | None = connection
        self._left = head.size
        self._last = head.last
        self._kept_when_read()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: ConnectionError, when it ends before its length, or does not go on."""
        if self._connection is None:
            return 0
        try:
            count = self._connection.stream.readinto(memoryview(buffer)[: self._left])
        except OSError as problem:
            raise ConnectionError(f"the file broke off: {problem}") from problem
        if not count:
            raise ConnectionError(f"the file broke off: {self._left} bytes are missing")
        self._left -= count
        self._kept_when_read()
        return count

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # what is left of it nobody wants
            connection.close()
        super().close()

    def _kept_when_read(self) -> None:
        if self._left == 0 and self._connection is not None:
            connection, self._connection = self._connection, None
            self._connections._keep(connection, last=self._last)


def _kind_of(problem: OSError) -> type[BotoCoreError]:
    if isinstance(problem, TimeoutError):
        return ConnectTimeoutError
    return SSLError if isinstance(problem, ssl.SSLError) else EndpointConnectionError


def _close(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.close()


_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_ALL):
        connections.forked()


if hasattr(os, "register_at_fork"):
    # a server that loads an application and forks must not have two processes on one connection
    os.register_at_fork(after_in_child=_after_fork)
