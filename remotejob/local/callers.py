"""Whether somebody still waits for the answer that a thread of the server prepares."""

from __future__ import annotations

import socket
import threading

_ANSWERING = threading.local()


def answering(connection: socket.socket) -> None:
    """From now on this thread answers what comes on that connection."""
    _ANSWERING.connection = connection


def caller_is_gone() -> bool:
    """Whether the other end of this thread's connection was closed."""
    connection: socket.socket | None = getattr(_ANSWERING, "connection", None)
    if connection is None:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
