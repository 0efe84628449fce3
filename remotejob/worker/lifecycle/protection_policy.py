"""Decides whether ECS must not stop a worker, from the jobs that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

AGENT: Final = "ECS_AGENT_URI"
"""The variable that holds the URI of the ECS agent."""

FRESH: Final = timedelta(minutes=10)
"""How long a worker that has just become busy is protected, whatever it runs."""

QUIET: Final = timedelta(seconds=15)
"""How long a worker must be idle before ECS may stop it."""


class Guard(Protocol):
    """Protects the worker from being stopped to scale in or to deploy. Neither call blocks."""

    def protect(self) -> None: ...

    def unprotect(self) -> None: ...


class ProtectionPolicy:
    """Decides whether a worker is protected.

    It is when it becomes busy; after `FRESH`, only while it has a run that has already lasted
    longer than the grace. Otherwise a stream of short jobs would keep a worker protected for ever,
    and a deployment would never end.
    """

    def __init__(self, *, grace: timedelta) -> None:
        """`grace` is how long a run may go on once the worker stops."""
        self._grace = grace.total_seconds()
        self._busy_since: float | None = None
        self._idle_since: float | None = None
        self._needed = False

    def look(self, now: float, began: Sequence[float]) -> bool:
        """Whether to protect it now. `began`: when each run began, on the clock of `now`."""
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
