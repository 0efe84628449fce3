"""The runs a worker holds, and the messages it has received and not begun."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from remotejob.ports import Received
from remotejob.worker.runs.run import Run


class InFlight:
    """What heartbeats keep alive and shutdown gives back. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._latest: dict[str, Run] = {}
        """By job. If a job was lost and claimed again here, the run that has it now."""
        self._waiting: dict[str, Received] = {}

    @contextmanager
    def holding(self, run: Run) -> Iterator[None]:
        with self._lock:
            self._runs[run.run_id] = self._latest[run.job_id] = run
        try:
            yield
        finally:
            with self._lock:
                del self._runs[run.run_id]
                if self._latest.get(run.job_id) is run:
                    del self._latest[run.job_id]

    def running(self) -> list[Run]:
        with self._lock:
            return list(self._runs.values())

    def adopt(self, message: Received, job_id: str) -> bool:
        """Give a message to the run of its job here, if that has lost its own."""
        with self._lock:
            run = self._latest.get(job_id)
        return run is not None and run.adopt(message)

    def await_turn(self, messages: Iterable[Received]) -> None:
        """Add messages that were received and not begun, to be kept hidden with the others."""
        with self._lock:
            self._waiting.update({message.receipt: message for message in messages})

    def begin(self, message: Received) -> bool:
        """Remove a message from those that wait. False if it was given back meanwhile."""
        with self._lock:
            return self._waiting.pop(message.receipt, None) is not None

    def waits(self, message: Received) -> bool:
        """Whether it still waits: neither begun nor given back."""
        with self._lock:
            return message.receipt in self._waiting

    def waiting(self) -> list[Received]:
        with self._lock:
            return list(self._waiting.values())
