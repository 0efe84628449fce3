"""Workers of queues as counts in memory; a test says how they fare."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from remotejob.domain.fleet import CapacityShare, FleetStatus, StoppedTask, WorkersDescription
from remotejob.ports import no_workers


class MemoryFleet:
    """A `Fleet` that remembers what it was asked for. Workers start and stop at once, unless a test
    says otherwise with `put`."""

    def __init__(self, described: Mapping[str, WorkersDescription]) -> None:
        self._lock = threading.Lock()
        self._described = dict(described)
        self._status = {
            queue: FleetStatus(desired=0, running=0, pending=0) for queue in self._described
        }
        self._stopped: dict[str, tuple[StoppedTask, ...]] = {}

    def describe(self, queue: str) -> WorkersDescription | None:
        return self._described.get(queue)

    def status(self, queue: str) -> FleetStatus | None:
        with self._lock:
            return self._status.get(queue)

    def stopped(self, queue: str) -> tuple[StoppedTask, ...]:
        with self._lock:
            return self._stopped.get(queue, ())

    def set_desired(self, queue: str, count: int) -> None:
        with self._lock:
            if queue not in self._status:
                raise no_workers(queue)
            self._status[queue] = replace(self._status[queue], desired=count, running=count)

    def set_capacity(self, queue: str, shares: tuple[CapacityShare, ...]) -> None:
        with self._lock:
            if queue not in self._status:
                raise no_workers(queue)
            self._status[queue] = replace(self._status[queue], capacity=shares)

    def put(
        self, queue: str, status: FleetStatus, *, stopped: tuple[StoppedTask, ...] = ()
    ) -> None:
        """Say how a queue's workers fare, and which ones stopped, the newest first."""
        with self._lock:
            self._status[queue] = status
            self._stopped[queue] = stopped
