"""Counts what a worker spends of its queue's daily budget, and says when it is spent.

Each worker of a queue with a budget adds its own runs and dollars to the day's item every few
seconds, and reads back what all have spent. Until then it counts its own on top of what it read,
so together they overspend by what the other workers begin between two reads. Running jobs go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from remotejob.domain.budgets import Spent, day_of, overspent
from remotejob.jobs.queries.budgets import add_spent, dollars_of, microdollars, read_spent
from remotejob.jobs.queries.prices import list_prices
from remotejob.outages import OutageLog
from remotejob.ports import Installation, QueueDescription

log = logging.getLogger(__name__)

WITH_RUNS: Final = timedelta(seconds=15)
"""Between two reads, while runs begin: a write and a read for each."""

WITHOUT: Final = timedelta(minutes=1)
"""Between two reads, while none begins."""

_SHARE: Final = "share what was spent"


class BudgetWatch:
    """The daily budget as one worker knows it; no request without one. Safe across threads."""

    def __init__(
        self, installation: Installation, queue: QueueDescription, *, concurrency: int
    ) -> None:
        self._installation = installation
        self._queue = queue
        self._concurrency = concurrency
        self._clock = installation.clock
        self._outages = OutageLog(installation.clock)
        self._lock = threading.Lock()
        self._sharing = threading.Lock()
        now = self._clock.monotonic()
        self._day = day_of(self._clock.now_ms())
        self._known = Spent()
        """What all workers had spent when it was last read."""
        self._runs = 0
        self._since = now
        """When the time that is not yet shared began."""
        self._shared: float | None = None
        self._shortage: str | None = None

    @property
    def shortage(self) -> str | None:
        """Why the worker takes no jobs, in words; None while there is budget left."""
        return self._shortage

    def began(self) -> None:
        """Count a run that begins."""
        if not self._queue.budget.limited:
            return
        with self._lock:
            self._runs += 1
            self._judge()

    def look(self) -> str | None:
        """Judge again, because a day may have begun; return the shortage. Makes no request."""
        if self._queue.budget.limited:
            with self._lock:
                self._judge()
        return self._shortage

    def share_if_due(self, start: Callable[[Callable[[], None]], object]) -> None:
        """Share what was spent if it is time; `start` makes the requests in the background."""
        if not self._queue.budget.limited:
            return
        with self._lock:
            pause = WITH_RUNS if self._runs else WITHOUT
            due = self._shared is None or (
                self._clock.monotonic() - self._shared >= pause.total_seconds()
            )
        if due and self._sharing.acquire(blocking=False):
            start(self._share_and_release)

    def share(self) -> None:
        """Add what this worker spent, and read what all have spent. An outage is only logged."""
        if self._queue.budget.limited:
            with self._sharing:
                self._share()

    def _share_and_release(self) -> None:
        try:
            self._share()
        finally:
            self._sharing.release()

    def _share(self) -> None:
        now, day = self._clock.monotonic(), day_of(self._clock.now_ms())
        with self._lock:
            runs, since = self._runs, self._since
            self._shared = now
        mine = self._spent(runs, now - since)
        try:
            if mine != Spent():
                add_spent(self._queue.name, day, mine, self._installation)
            with self._lock:
                self._runs -= runs
                self._since = now
                self._known = self._known.plus(mine)
            known = read_spent(self._queue.name, day, self._installation)
        except Exception as problem:  # noqa: BLE001 (jobs go on; it is shared later)
            self._outages.failed(_SHARE, problem)
            return
        self._outages.over(_SHARE)
        with self._lock:
            self._day, self._known = day, known
            self._judge()

    def _spent(self, runs: int, seconds: float) -> Spent:
        if self._queue.budget.dollars is None:
            return Spent(runs=runs)
        dollars = dollars_of(
            runs=runs,
            seconds=seconds,
            jobs_at_a_time=self._concurrency,
            size=self._queue.size,
            prices=list_prices(),
        )
        return Spent(runs=runs, microdollars=microdollars(dollars))

    def _judge(self) -> None:
        day = day_of(self._clock.now_ms())
        if day != self._day:
            self._day, self._known, self._shared = day, Spent(), None
        mine = self._spent(self._runs, self._clock.monotonic() - self._since)
        shortage = overspent(self._queue.name, self._queue.budget, self._known.plus(mine))
        if (shortage is None) is not (self._shortage is None):
            # the others hear of it at once
            self._shared = None
            if shortage is not None:
                log.error("taking no jobs: %s", shortage)
            else:
                log.info("taking jobs again: the day's budget has room")
        self._shortage = shortage
