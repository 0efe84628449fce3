"""Detect whether the client of the request that a server thread handles has disconnected."""

from __future__ import annotations

import socket
import threading

from urllib3.util import wait_for_read

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
        # not left to MSG_DONTWAIT: a socket with a timeout waits before it receives
        if not wait_for_read(connection, timeout=0):
            return False
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except (OSError, ValueError):  # it was closed here
        return True
