"""Read the content of an HTTP request, no sooner than somebody asks for it, and not for ever."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from typing import Any, Final

_PIECE: Final = 1 << 20


class TimedInput(io.RawIOBase):
    """Reads from a connection until a deadline, however slowly the client sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection: Final = connection
        self._ends = 0.0

    def within(self, seconds: float) -> None:
        """Allow this much time from now on, for all reads together."""
        self._ends = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises: TimeoutError, after the deadline."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client is too slow")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Body:
    """The content of one request.

    It is unread at first: who may not ask at all must not make us read it.
    """

    def __init__(
        self,
        stream: io.BufferedIOBase,
        length: int,
        *,
        before_piece: Callable[[], None],
    ) -> None:
        """`before_piece` is called before each mebibyte."""
        self.length: Final = length
        self._stream = stream
        self._before_piece = before_piece
        self._left = length
        self._content = b""

    @property
    def unread(self) -> bool:
        """Whether bytes of it are still on the connection."""
        return self._left > 0

    def read(self) -> bytes:
        """The whole content; a second call returns it again.

        Raises: ConnectionError, when the client sends less; TimeoutError, when it is too slow.
        """
        if self._left:
            pieces = []
            while self._left:
                self._before_piece()
                # in pieces, so that only what was sent needs memory
                piece = self._stream.read(min(self._left, _PIECE))
                if not piece:
                    raise ConnectionError(f"the request ends {self._left} bytes early")
                pieces.append(piece)
                self._left -= len(piece)
            self._content = b"".join(pieces) if len(pieces) > 1 else pieces[0]
        return self._content
