"""Requests to stop: their urgency, and the signals that ask for each."""

from __future__ import annotations

import contextlib
import queue
import signal
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from remotejob.domain.urgency import Urgency

SIGNALS: Final[Mapping[signal.Signals, Urgency]] = MappingProxyType(
    {
        signal.SIGTERM: Urgency.NORMAL,
        signal.SIGINT: Urgency.NORMAL,
        signal.SIGUSR1: Urgency.SOFT,
        signal.SIGQUIT: Urgency.HARD,
    }
)
"""The signals that a worker or a supervisor handles. ECS sends SIGTERM, also as the warning before
it takes away a Spot task."""

SIGNAL_OF: Final[Mapping[Urgency, signal.Signals]] = MappingProxyType(
    {
        Urgency.SOFT: signal.SIGUSR1,
        Urgency.NORMAL: signal.SIGTERM,
        # a second SIGTERM means HARD, too, but the system merges two that arrive at once
        Urgency.HARD: signal.SIGQUIT,
    }
)
"""The signal by which a supervisor passes on each urgency to its children."""


class StopRequests:
    """Requests to stop, from any thread or signal handler."""

    def __init__(self) -> None:
        # reentrant: the thread that a signal interrupts may hold the lock of an Event: a deadlock
        self._queue: queue.SimpleQueue[Urgency] = queue.SimpleQueue()
        self._urgency: Urgency | None = None

    def tell(self, urgency: Urgency) -> None:
        """Safe to call from a signal handler."""
        self._queue.put(urgency)

    def first(self) -> Urgency:
        """Wait for a request. Only one thread may call this and `more`."""
        self._urgency = self._queue.get().after(self._urgency)
        return self._urgency

    def more(self, seconds: float) -> Urgency:
        """Wait so long for a more urgent request; return the urgency now."""
        assert self._urgency is not None
        with contextlib.suppress(queue.Empty):
            self._urgency = self._queue.get(timeout=seconds).after(self._urgency)
        return self._urgency
