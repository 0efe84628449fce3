"""The message a run holds: hidden while the run goes on, settled at its end."""

from __future__ import annotations

import threading

from remotejob.ports import Received


class HeldMessage:
    """The job's message, or the one that replaced it. Safe across threads."""

    def __init__(self, message: Received, *, since: float) -> None:
        self._lock = threading.Lock()
        self._message = message
        self._since: float | None = since
        self._closed = False

    @property
    def message(self) -> Received:
        """The latest one. Settling one that was replaced has no effect."""
        with self._lock:
            return self._message

    @property
    def since(self) -> float | None:
        """Monotonic time from which it is hidden; None while its replacement is on its way."""
        with self._lock:
            return self._since

    def replaced(self, message: Received) -> None:
        """That message is deleted, and another one takes its place once it arrives."""
        with self._lock:
            if self._message is message:
                self._since = None

    def adopt(self, message: Received, *, now: float) -> bool:
        """Take a message that came for this run: its replacement, or a redelivery of its own.

        False when the run has its message, or has ended: then the record decides.
        """
        with self._lock:
            held = self._message
            redelivered = message.sent_ms == held.sent_ms and message.receives > held.receives
            if self._closed or not (self._since is None or redelivered):
                return False
            self._message, self._since = message, now
            return True

    def close(self) -> None:
        """Adopt no more: from now on the message is being settled."""
        with self._lock:
            self._closed = True
