"""Connections to one endpoint, kept open from request to request."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import wait_for_read


class Headers(Protocol):
    """Names and values."""

    def items(self) -> Iterable[tuple[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status_code: int
    headers: Message
    content: bytes


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
        self._port = parts.port
        self._first_lines = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._secure = parts.scheme == "https"
        self._ca_bundle = ca_bundle
        self._connect_s = connect_s
        self._lock = threading.Lock()
        self._idle: list[HTTPConnection] = []
        self._context: ssl.SSLContext | None = None
        # nobody closes an installation: what was forgotten is closed here, as boto3's pools do it
        weakref.finalize(self, _close, self._idle)
        _ALL.add(self)

    def post(self, headers: Headers, body: bytes, *, read_s: float) -> Answer:
        """Send a request and wait for its answer, so long for each part of it.

        Raises: botocore's errors of connection, as its own clients do. Whether the request had its
        effect the caller cannot know, unless there was no connection.
        """
        connection = self._take()
        try:
            connection.sock.settimeout(read_s)
            # in one piece, which http.client would send in two
            connection.sock.sendall(self._written(headers, body))
            response = HTTPResponse(connection.sock, method="POST")
            response.begin()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException as problem:
            connection.close()
            # what befell this one may have befallen all: the next try is not to find them out
            self.drop_idle()
            if isinstance(problem, TimeoutError):
                raise ReadTimeoutError(endpoint_url=self._url, error=problem) from problem
            if isinstance(problem, HTTPException | OSError):
                raise ConnectionClosedError(endpoint_url=self._url, error=problem) from problem
            raise
        if response.will_close:
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

    def _written(self, headers: Headers, body: bytes) -> bytes:
        """Source: RFC 9112, "HTTP/1.1", 3 and 6.3."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = "".join([self._first_lines, *lines, f"Content-Length: {len(body)}\r\n\r\n"])
        return head.encode("latin-1") + body

    def _take(self) -> HTTPConnection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                # the one used last: the others may grow old enough for AWS to close them
                connection = self._idle.pop()
            # nothing is due on it: what can be read is its end
            if connection.sock is not None and not wait_for_read(connection.sock, timeout=0):
                return connection
            connection.close()
        return self._open()

    def _open(self) -> HTTPConnection:
        connection = self._new()
        try:
            connection.connect()
        except TimeoutError as problem:
            raise ConnectTimeoutError(endpoint_url=self._url, error=problem) from problem
        except ssl.SSLError as problem:
            raise SSLError(endpoint_url=self._url, error=problem) from problem
        except OSError as problem:
            raise EndpointConnectionError(endpoint_url=self._url, error=problem) from problem
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _new(self) -> HTTPConnection:
        timeout = self._connect_s
        if not self._secure:
            return HTTPConnection(self._host, self._port, timeout=timeout)
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=self._ca_bundle)
            context = self._context
        return HTTPSConnection(self._host, self._port, timeout=timeout, context=context)


def _close(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()


def _after_fork() -> None:
    for connections in list(_ALL):
        connections.forked()


if hasattr(os, "register_at_fork"):
    # a server that loads an application and forks must not have two processes on one connection
    os.register_at_fork(after_in_child=_after_fork)
