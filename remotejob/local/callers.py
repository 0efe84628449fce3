"""Detect whether the client of the request that a server thread handles has disconnected."""

from __future__ import annotations

import socket
import threading

_CURRENT = threading.local()


def set_connection(connection: socket.socket) -> None:
    """Note the connection whose requests this thread handles from now on."""
    _CURRENT.connection = connection


def caller_is_gone() -> bool:
    """Whether the client closed this thread's connection."""
    connection: socket.socket | None = getattr(_CURRENT, "connection", None)
    if connection is None:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
