"""The channel between a worker and a child process: sends and receives frames over a socket.

A frame is a JSON object with optional bytes and at most one open file. Nothing is unpickled: the
worker checks whatever a child sends, and limits its length to `FROM_CHILD`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.checkpoints import CHECKPOINT_LIMIT
from remotejob.domain.record import RESULT_LIMIT
from remotejob.tasks.forked import keep_private

CHUNK: Final = 1024 * 1024
"""Bytes of a file in one frame."""

_ERROR_LIMIT: Final = 2 * 1024 * 1024

_HEADER: Final = struct.Struct("!II")
_PIECE: Final = 256 * 1024
"""Bytes to read at a time: we allocate memory for data that has arrived, not for its announced
length."""

_AT_ONCE: Final = 16 * 1024
"""Bytes that the system sends in one call: all, or none if it is interrupted."""

_GONE: Final = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.EBADF,
    }
)
"""Errors of a connection that has ended. TimeoutError is not one: a signal handler raises it, as it
may raise other errors that did not come from the system."""


class Closed(Exception):
    """The other side is gone."""


class Garbled(Exception):
    """The other side sent something that is no frame, or an unexpected one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many bytes one side may send in a frame."""

    head: int
    bodies: Mapping[str, int]
    """By kind of frame; kinds without an entry have no body."""

    def body(self, kind: str) -> int:
        return self.bodies.get(kind, 0)


FROM_CHILD: Final = Limits(
    # the longest is a log line: 10,000 characters and 4 KiB of data, escaped
    head=256 * 1024,
    bodies={
        "checkpoint": CHECKPOINT_LIMIT,
        "returned": RESULT_LIMIT,
        "failed": _ERROR_LIMIT,
        "unready": _ERROR_LIMIT,
    },
)

FROM_WORKER: Final = Limits(
    # the longest is a record: 400 KB, escaped
    head=16 * 1024 * 1024,
    bodies={"answer": CHUNK},
)


@dataclass(frozen=True, slots=True)
class Frame:
    head: dict[str, Any]
    body: bytes = b""
    file: int | None = None
    """An open file, which the receiver must close."""

    @property
    def kind(self) -> str:
        return str(self.head.get("kind"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame that is ready to be sent."""

    head: bytes
    body: bytes


class Channel:
    """One side of the connection. One thread may send while another receives."""

    def __init__(self, connection: socket.socket, *, sends: Limits, receives: Limits) -> None:
        self._socket: Final = connection
        keep_private(connection)
        self._sends: Final = sends
        self._receives: Final = receives
        self.in_midst = False
        """Whether a frame may have been sent in part: then the other side cannot understand any
        further frame."""

    def prepared(self, kind: str, body: bytes = b"", **head: Any) -> Prepared:
        """Raises: ValueError, when it is longer than such a frame may be."""
        text = json.dumps({"kind": kind, **head}).encode()
        for length, most in ((len(text), self._sends.head), (len(body), self._sends.body(kind))):
            if length > most:
                raise ValueError(f"{kind}: {length} bytes at once: {most} at most")
        return Prepared(_HEADER.pack(len(text), len(body)) + text, body)

    def send(self, kind: str, body: bytes = b"", **head: Any) -> None:
        """Raises: Closed; ValueError, when it is longer than such a frame may be."""
        self.transmit(self.prepared(kind, body, **head))

    def transmit(self, frame: Prepared, *, file: int | None = None) -> None:
        """Raises: Closed."""
        text = frame.head
        self.in_midst = len(text) + len(frame.body) > _AT_ONCE
        try:
            if file is not None:
                text = text[socket.send_fds(self._socket, [text], [file]) :]
            self._socket.sendall(text + frame.body if frame.body else text)
        except OSError as problem:
            _raise_closed(problem)
            raise
        self.in_midst = False

    def receive(self) -> Frame:
        """Raises: Closed; Garbled."""
        file: int | None = None
        try:
            header, files, _, _ = socket.recv_fds(
                self._socket, _HEADER.size, 1, flags=getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
            file = files[0] if files else None
            if not header:
                raise Closed("it has ended")  # noqa: TRY301 (one place closes the file)
            header += self._exactly(_HEADER.size - len(header))
            length, body_length = _HEADER.unpack(header)
            _check(length, self._receives.head)
            head = _object(self._exactly(length))
            _check(body_length, self._receives.body(str(head.get("kind"))))
            return Frame(head=head, body=self._exactly(body_length), file=file)
        except BaseException as problem:
            if file is not None:
                os.close(file)
            if isinstance(problem, OSError):
                _raise_closed(problem)
            raise

    def end_of_peer(self) -> None:
        """End the connection: a reader still gets the data that has arrived; sending fails."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and close the socket."""
        self.end_of_peer()
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        pieces: list[bytes] = []
        while count:
            piece = self._socket.recv(min(count, _PIECE))
            if not piece:
                raise Closed("it broke off")
            pieces.append(piece)
            count -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _raise_closed(problem: OSError) -> None:
    """Raises: Closed, when the error is the connection's; returns for any other error."""
    if problem.errno in _GONE:
        raise Closed(str(problem)) from problem


def _check(length: int, most: int) -> None:
    if length > most:
        raise Garbled(f"a frame of {length} bytes: {most} at most")


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Garbled(f"a frame is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise Garbled(f"a frame is not an object but a {type(value).__name__}")
    return value
