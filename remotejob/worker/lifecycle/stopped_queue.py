"""Reads whether a worker's queue is stopped, about once a minute, and remembers it in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from remotejob.jobs.coordination.queue_switch import READ_EVERY, stop_of
from remotejob.outages import OutageLog
from remotejob.ports import Installation

log = logging.getLogger(__name__)

_READ: Final = "read whether the queue is stopped"


class SwitchWatch:
    """The switch of one queue, as one process knows it: a read for each `READ_EVERY`, whatever
    there is to do. Safe across threads."""

    def __init__(self, installation: Installation, queue: str) -> None:
        self._installation = installation
        self._queue = queue
        self._clock = installation.clock
        self._outages = OutageLog(installation.clock)
        self._reading = threading.Lock()
        self._read_at: float | None = None
        self._shortage: str | None = None

    @property
    def shortage(self) -> str | None:
        """Why no job may begin, in words; None while the queue is not stopped."""
        return self._shortage

    def read_if_due(self, start: Callable[[Callable[[], None]], object]) -> None:
        """Read it if it is time; `start` makes the request, perhaps in the background."""
        read_at, now = self._read_at, self._clock.monotonic()
        if read_at is not None and now - read_at < READ_EVERY.total_seconds():
            return
        if self._reading.acquire(blocking=False):
            self._read_at = now
            start(self._read_and_release)

    def read(self) -> None:
        """Read it. In an outage, what was read last holds."""
        with self._reading:
            self._read_at = self._clock.monotonic()
            self._read()

    def _read_and_release(self) -> None:
        try:
            self._read()
        finally:
            self._reading.release()

    def _read(self) -> None:
        try:
            stopped = stop_of(self._queue, self._installation)
        except Exception as problem:  # noqa: BLE001 (jobs go on; it is read again later)
            self._outages.failed(_READ, problem)
            return
        self._outages.over(_READ)
        shortage = None if stopped is None else str(stopped)
        if (shortage is None) is not (self._shortage is None):
            if shortage is not None:
                log.warning("taking no jobs: %s", shortage)
            else:
                log.info("taking jobs again: queue %r was started", self._queue)
        self._shortage = shortage
