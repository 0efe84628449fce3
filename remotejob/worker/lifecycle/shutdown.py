"""Being told to stop: how urgently, by whom, and by which signal."""

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
"""What a worker, or the supervisor of some, understands. ECS sends SIGTERM, also as the warning
before a Spot task is taken away."""

SIGNAL_OF: Final[Mapping[Urgency, signal.Signals]] = MappingProxyType(
    {
        Urgency.SOFT: signal.SIGUSR1,
        Urgency.NORMAL: signal.SIGTERM,
        # a second SIGTERM would say so too; but two that come at once are one
        Urgency.HARD: signal.SIGQUIT,
    }
)
"""How a supervisor tells its children."""


class StopRequests:
    """What somebody was told of stopping, by any thread or signal handler."""

    def __init__(self) -> None:
        # an event's lock may be held by the very thread the signal interrupted; this queue's is not
        self._queue: queue.SimpleQueue[Urgency] = queue.SimpleQueue()
        self._urgency: Urgency | None = None

    def tell(self, urgency: Urgency) -> None:
        """Safe to call from a signal handler."""
        self._queue.put(urgency)

    def first(self) -> Urgency:
        """Wait until told. For one thread, as is `more`."""
        self._urgency = self._queue.get().after(self._urgency)
        return self._urgency

    def more(self, seconds: float) -> Urgency:
        """Wait a moment for being told more urgently; how urgent it is now."""
        assert self._urgency is not None
        with contextlib.suppress(queue.Empty):
            self._urgency = self._queue.get(timeout=seconds).after(self._urgency)
        return self._urgency
