"""What a worker and a child process of its tasks say to each other, and how.

A frame is a JSON object, bytes beside it, and at most one open file. Nothing is unpickled: what a
child says is believed no further than the worker can check it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

_HEADER: Final = struct.Struct("!II")
_LONGEST: Final = 256 * 1024 * 1024
"""Bytes of either part of a frame: more than any result or line of a log takes."""


class Closed(Exception):
    """The other side is gone."""


class Garbled(Exception):
    """The other side said what is no frame, or not the one that is expected."""


@dataclass(frozen=True, slots=True)
class Frame:
    head: dict[str, Any]
    body: bytes = b""
    file: int | None = None
    """An open file, which is now the receiver's to close."""

    @property
    def kind(self) -> str:
        return str(self.head.get("kind"))


class Channel:
    """One side of the connection. One thread at a time sends, and one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket: Final = connection

    def send(self, kind: str, body: bytes = b"", *, file: int | None = None, **head: Any) -> None:
        """Raises: Closed; ValueError, when it is longer than a frame can be."""
        text = json.dumps({"kind": kind, **head}).encode()
        if max(len(text), len(body)) > _LONGEST:
            raise ValueError(f"{max(len(text), len(body))} bytes at once: {_LONGEST} at most")
        frame = _HEADER.pack(len(text), len(body)) + text
        try:
            if file is not None:
                sent = socket.send_fds(self._socket, [frame], [file])
                frame = frame[sent:]
            self._socket.sendall(frame + body if body else frame)
        except OSError as problem:
            raise Closed(str(problem)) from problem

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
            if max(length, body_length) > _LONGEST:
                raise Garbled(f"a frame of {max(length, body_length)} bytes")  # noqa: TRY301
            head = _object(self._exactly(length))
            return Frame(head=head, body=self._exactly(body_length), file=file)
        except BaseException as problem:
            if file is not None:
                os.close(file)
            if isinstance(problem, OSError):
                raise Closed(str(problem)) from problem
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
        content = bytearray(count)
        view = memoryview(content)
        while view:
            received = self._socket.recv_into(view)
            if not received:
                raise Closed("it broke off")
            view = view[received:]
        return bytes(content)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Garbled(f"no JSON: {problem}") from None
    if not isinstance(value, dict):
        raise Garbled(f"a {type(value).__name__}")
    return value
