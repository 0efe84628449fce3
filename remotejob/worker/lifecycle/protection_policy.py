"""Whether a worker is to be kept from being stopped, by what it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

AGENT: Final = "ECS_AGENT_URI"
"""The variable in which ECS says how its agent is reached."""

FRESH: Final = timedelta(minutes=10)
"""How long a worker that has just become busy is protected, whatever it runs."""

QUIET: Final = timedelta(seconds=15)
"""How long a worker must be idle before it is open to being stopped."""


class Guard(Protocol):
    """Keeps the worker from being chosen to be stopped. Both calls wait for nothing."""

    def protect(self) -> None: ...

    def unprotect(self) -> None: ...


class ProtectionPolicy:
    """Whether a worker is to be protected, by what it runs.

    A worker is protected when it becomes busy; after a while only for runs too long to end within
    the stop timeout. Else a worker with a stream of short jobs would be protected for ever, and a
    deployment would never end.
    """

    def __init__(self, *, grace: timedelta) -> None:
        """`grace` is how long a run may go on once the worker is told to stop."""
        self._grace = grace.total_seconds()
        self._busy_since: float | None = None
        self._idle_since: float | None = None
        self._needed = False

    def look(self, now: float, began: Sequence[float]) -> bool:
        """`began` says when each of the runs began, on the clock that says `now`."""
        if began:
            self._idle_since = None
            if self._busy_since is None:
                self._busy_since = now
            fresh = now - self._busy_since < FRESH.total_seconds()
            self._needed = fresh or now - min(began) > self._grace
        elif self._busy_since is not None:
            if self._idle_since is None:
                self._idle_since = now
            if now - self._idle_since >= QUIET.total_seconds():
                self._busy_since, self._needed = None, False
        return self._needed
