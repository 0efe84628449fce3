"""Tells a task that it must stop, wherever it runs, and notes its signs of life."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from remotejob.domain.errors import RunInterrupted
from remotejob.ports import Clock


class Stoppable(Protocol):
    """A task that can be stopped from outside its thread: on an event loop or in a process."""

    def stopping(self, reason: RunInterrupted) -> None:
        """The run must stop. Called once for each reason; it does not wait."""
        ...

    def kill(self, *, grace: timedelta) -> bool:
        """End it if possible, and wait for its end. False when it outlived the attempt.

        It was asked to stop before; `grace` is the longest it may take to do so by itself.
        """
        ...


class StopSignal:
    """Why one run must stop, if it must, and when its task last called. Safe across threads."""

    def __init__(self, clock: Clock, *, began: float) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: RunInterrupted | None = None
        self._stoppable: Stoppable | None = None
        self._stirred = began

    @property
    def reason(self) -> RunInterrupted | None:
        with self._lock:
            return self._reason

    def set(self, reason: RunInterrupted) -> None:
        """Make the task's next call of the library raise `reason`. The first reason stays."""
        with self._lock:
            self._reason = self._reason or reason
            stoppable = self._stoppable
        if stoppable is not None:
            stoppable.stopping(reason)

    def kill(self, *, grace: timedelta) -> bool:
        """End the task if it runs where it can be ended, after `grace` at most.

        False when it outlived the attempt: then no other run may begin.
        """
        with self._lock:
            stoppable = self._stoppable
        return stoppable is None or stoppable.kill(grace=grace)

    @contextmanager
    def reaches(self, stoppable: Stoppable) -> Iterator[None]:
        """Pass the signal on to where the task runs.

        Raises: RunInterrupted, when the run must stop already.
        """
        with self._lock:
            if self._reason is not None:
                raise self._reason
            self._stoppable = stoppable
        try:
            yield
        finally:
            with self._lock:
                self._stoppable = None

    def stir(self) -> RunInterrupted | None:
        """The task called: a sign of life, unless it must stop. The reason, if it must."""
        with self._lock:
            if self._reason is None:
                self._stirred = self._clock.monotonic()
            return self._reason

    @property
    def stirred(self) -> float:
        """Monotonic time of the last sign of life, or of the run's beginning."""
        with self._lock:
            return self._stirred
