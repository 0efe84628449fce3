"""Connections to one endpoint, kept open from request to request."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
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

from remotejob.backends.aws.answers import Answer, Broken, read_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long to wait, in seconds."""

    connect: float
    read: float
    """For each part of an answer, the first included."""
    poll: float
    """The same where the request waits for something to come."""


class Connections:
    """As many connections as there are requests at a time. Safe across threads."""

    def __init__(self, url: str, *, connect_s: float, ca_bundle: str) -> None:
        """`ca_bundle` is the path of the certificates to trust."""
        self._url = url
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._first_lines = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._secure = parts.scheme == "https"
        self._ca_bundle = ca_bundle
        self._connect_s = connect_s
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._context: ssl.SSLContext | None = None
        # nobody closes an installation: what was forgotten is closed here, as boto3's pools do it
        weakref.finalize(self, _close, self._idle)
        _ALL.add(self)

    def post(self, headers: Mapping[str, str], body: bytes, *, read_s: float) -> Answer:
        """Send a request and wait for its answer, so long for each part of it.

        Raises: botocore's errors of connection, as its own clients do. Whether the request had its
        effect the caller cannot know, unless there was no connection.
        """
        connection = self._take()
        try:
            connection.socket.settimeout(read_s)
            connection.socket.sendall(self._written(headers, body))
            answer = read_answer(connection.stream)
        except BaseException as problem:
            connection.close()
            # what befell this one may have befallen all: the next try is not to find them out
            self.drop_idle()
            if isinstance(problem, TimeoutError):
                raise ReadTimeoutError(endpoint_url=self._url, error=problem) from problem
            if isinstance(problem, Broken | OSError):
                raise ConnectionClosedError(endpoint_url=self._url, error=problem) from problem
            raise
        if answer.last:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return answer

    def drop_idle(self) -> None:
        """Close all connections that no request is using."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _close(idle)

    def forked(self) -> None:
        """This is a new process: the connections are its parent's, as is whoever held the lock."""
        self._lock = threading.Lock()
        self.drop_idle()

    def _written(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """Source: RFC 9112, "HTTP/1.1", 3 and 6.3."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = "".join([self._first_lines, *lines, f"Content-Length: {len(body)}\r\n\r\n"])
        return head.encode("latin-1") + body

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
                opened = self._trusting().wrap_socket(opened, server_hostname=self._host)
        except OSError as problem:
            if opened is not None:
                opened.close()
            raise _kind_of(problem)(endpoint_url=self._url, error=problem) from problem
        return _Connection(opened)

    def _trusting(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self._ca_bundle)
            return self._context


class _Connection:
    """One connection, and what was read from it and not yet used."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket: Final = opened
        self.stream: Final = opened.makefile("rb")

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


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
