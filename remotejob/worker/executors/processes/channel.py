"""What a worker and a child process of its tasks say to each other, and how.

A frame is a JSON object, bytes beside it, and at most one open file. Nothing is unpickled: what a
child says is believed no further than the worker can check it, and is no longer than `FROM_CHILD`.
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

CHUNK: Final = 1024 * 1024
"""Bytes of a file in one frame."""

RESULT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a result, as JSON."""

_ERROR_LIMIT: Final = 2 * 1024 * 1024

_HEADER: Final = struct.Struct("!II")
_PIECE: Final = 256 * 1024
"""Bytes read at a time: memory is taken for what has come, and not for what was announced."""

_AT_ONCE: Final = 16 * 1024
"""Bytes that the system takes as one: all, or none where it is interrupted."""

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
"""What a connection says that has ended. A TimeoutError is no such thing: it comes from a handler
of signals, as other errors may that the system did not raise."""


class Closed(Exception):
    """The other side is gone."""


class Garbled(Exception):
    """The other side said what is no frame, or not the one that is expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bytes that one side may say at once."""

    head: int
    bodies: Mapping[str, int]
    """By kind of frame; what is not here has none."""

    def body(self, kind: str) -> int:
        return self.bodies.get(kind, 0)


FROM_CHILD: Final = Limits(
    # a line of the log is the longest: 10,000 characters and 4 KiB of data, escaped
    head=256 * 1024,
    bodies={
        "checkpoint": CHECKPOINT_LIMIT,
        "returned": RESULT_LIMIT,
        "failed": _ERROR_LIMIT,
        "unready": _ERROR_LIMIT,
    },
)

FROM_WORKER: Final = Limits(
    # a record is the longest: 400 KB, escaped
    head=16 * 1024 * 1024,
    bodies={"answer": CHUNK},
)


@dataclass(frozen=True, slots=True)
class Frame:
    head: dict[str, Any]
    body: bytes = b""
    file: int | None = None
    """An open file, which is now the receiver's to close."""

    @property
    def kind(self) -> str:
        return str(self.head.get("kind"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame that is ready to be sent."""

    head: bytes
    body: bytes


class Channel:
    """One side of the connection. One thread at a time sends, and one receives."""

    def __init__(self, connection: socket.socket, *, says: Limits, hears: Limits) -> None:
        self._socket: Final = connection
        self._says: Final = says
        self._hears: Final = hears
        self.in_midst = False
        """Whether a frame was begun, and perhaps not sent to its end: then nothing more that is
        said can be understood."""

    def prepared(self, kind: str, body: bytes = b"", **head: Any) -> Prepared:
        """Raises: ValueError, when it is longer than such a frame may be."""
        text = json.dumps({"kind": kind, **head}).encode()
        for length, most in ((len(text), self._says.head), (len(body), self._says.body(kind))):
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
                raise Closed("it has ended")  # noqa: TRY301 (the file is closed in one place)
            header += self._exactly(_HEADER.size - len(header))
            length, body_length = _HEADER.unpack(header)
            _check(length, self._hears.head)
            head = _object(self._exactly(length))
            _check(body_length, self._hears.body(str(head.get("kind"))))
            return Frame(head=head, body=self._exactly(body_length), file=file)
        except BaseException as problem:
            if file is not None:
                os.close(file)
            if isinstance(problem, OSError):
                _raise_closed(problem)
            raise

    def end_of_peer(self) -> None:
        """Let whoever receives read what is there and then the end; sending is refused."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Tell the other side that no more will come."""
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
    """Raises: Closed, where the error is the connection's own; others are to stay what they are."""
    if problem.errno in _GONE:
        raise Closed(str(problem)) from problem


def _check(length: int, most: int) -> None:
    if length > most:
        raise Garbled(f"a frame of {length} bytes: {most} at most")


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Garbled(f"no JSON: {problem}") from None
    if not isinstance(value, dict):
        raise Garbled(f"a {type(value).__name__}")
    return value
