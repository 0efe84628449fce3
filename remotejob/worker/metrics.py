"""Counts what a worker does, and hands the sums on once a minute. Counting makes no request."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from remotejob.ports import Clock

log = logging.getLogger(__name__)

MOST_VALUES: Final = 99
"""Values of one distribution that are handed on. CloudWatch takes 100 at a time, and the library
that writes them down lets go of a line as soon as it has so many.
Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format", target members.
"""

_MOST_KEPT: Final = 2048


class Count(StrEnum):
    """What is counted, by the names that CloudWatch shows."""

    STARTED = "Started"
    """Runs begun."""
    COMPLETED = "Completed"
    FAILED = "Failed"
    """Jobs that failed for good."""
    RETRIED = "Retried"
    """Runs that failed, whose jobs run again."""
    RELEASED = "Released"
    """Runs given back, such as by a worker that stops."""
    CANCELLED = "Cancelled"
    """Runs whose jobs were cancelled under them."""
    LEASE_LOST = "LeaseLost"
    """Runs whose outcome does not count: another one had the job."""
    RECEIVES = "Receives"
    """Requests for messages, the empty ones included."""
    EMPTY_RECEIVES = "EmptyReceives"


class Seconds(StrEnum):
    """What is measured, by the names that CloudWatch shows."""

    QUEUED = "SecondsQueued"
    """From when a job could begin to its first run."""
    RUNNING = "SecondsRunning"
    """Of a run, its end's commit not included; of those whose outcome counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What was counted since the last time."""

    counts: Mapping[Count, int]
    """Of what there was any."""
    seconds: Mapping[Seconds, tuple[float, ...]]
    """At most `MOST_VALUES` each, ascending: all there were, or as many that lie spread alike,
    the least and the most among them."""


@dataclass(slots=True)
class _Distribution:
    """Values, thinned out evenly as they come, so that they stay few."""

    kept: list[float] = field(default_factory=list)
    every: int = 1
    met: int = 0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        self.least, self.most = min(self.least, value), max(self.most, value)
        if self.met % self.every == 0:
            self.kept.append(value)
            if len(self.kept) >= _MOST_KEPT:
                del self.kept[1::2]
                self.every *= 2
        self.met += 1

    def spread(self) -> tuple[float, ...]:
        ordered = sorted(self.kept)
        if len(ordered) <= MOST_VALUES and self.every == 1:
            return tuple(ordered)
        last = MOST_VALUES - 1
        inner = (ordered[round(number * (len(ordered) - 1) / last)] for number in range(1, last))
        return (self.least, *inner, self.most)


class Metrics:
    """The counters of one worker. Safe across threads."""

    def __init__(
        self,
        *,
        clock: Clock,
        write: Callable[[Totals], None] | None = None,
        every: timedelta = timedelta(minutes=1),
    ) -> None:
        """`write` gets the sums, in the thread that beats; without it nothing is counted."""
        self._clock = clock
        self._write = write
        self._every_s = every.total_seconds()
        self._lock = threading.Lock()
        self._counts: Counter[Count] = Counter()
        self._seconds: dict[Seconds, _Distribution] = {}
        self._since = clock.monotonic()

    def count(self, what: Count, *, ran_s: float | None = None) -> None:
        """Count one; with `ran_s`, a run that ended after so many seconds."""
        if self._write is None:
            return
        with self._lock:
            self._counts[what] += 1
            if ran_s is not None:
                self._add(Seconds.RUNNING, ran_s)

    def started(self, *, queued_s: float | None) -> None:
        """A run has begun; `queued_s` is None where it is not the job's first."""
        if self._write is None:
            return
        with self._lock:
            self._counts[Count.STARTED] += 1
            if queued_s is not None:
                self._add(Seconds.QUEUED, queued_s)

    def received(self, messages: int) -> None:
        """A request for messages brought so many."""
        if self._write is None:
            return
        with self._lock:
            self._counts[Count.RECEIVES] += 1
            if messages == 0:
                self._counts[Count.EMPTY_RECEIVES] += 1

    def tick(self) -> None:
        """Hand on what was counted, if it is time."""
        if self._write is not None and self._clock.monotonic() - self._since >= self._every_s:
            self.flush()

    def flush(self) -> None:
        """Hand on what was counted, if there was anything."""
        if self._write is None:
            return
        with self._lock:
            counts, self._counts = self._counts, Counter()
            seconds, self._seconds = self._seconds, {}
            self._since = self._clock.monotonic()
        if not counts:
            return
        try:
            self._write(
                Totals(
                    counts=dict(counts),
                    seconds={what: values.spread() for what, values in seconds.items()},
                )
            )
        except Exception:
            # told of the work, it is not the work
            log.exception("metrics not written")

    def _add(self, what: Seconds, value: float) -> None:
        distribution = self._seconds.get(what)
        if distribution is None:
            distribution = self._seconds[what] = _Distribution()
        distribution.add(value)
