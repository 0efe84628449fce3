"""The worker's metrics: counts in memory, and writes the sums once a minute."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remotejob.domain.metric_names import Count, Seconds
from remotejob.domain.unreadable import SkippedItems
from remotejob.ports import Clock

log = logging.getLogger(__name__)

MOST_VALUES: Final = 99
"""The most values of one distribution to write. CloudWatch takes 100 per metric, and the library
that formats them emits the line as soon as it has 100.
Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format", target members.
"""

_MOST_KEPT: Final = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What was counted since the last write."""

    counts: Mapping[Count, int]
    """Without counters that are 0."""
    seconds: Mapping[Seconds, tuple[float, ...]]
    """Ascending. At most `MOST_VALUES` each: if there were more, a sample with the same spread,
    including the smallest and the largest."""


@dataclass(slots=True)
class _Distribution:
    """A sample of values, thinned out evenly so that it stays small."""

    kept: list[float] = field(default_factory=list)
    every: int = 1
    count: int = 0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, value: float) -> None:
        self.least, self.most = min(self.least, value), max(self.most, value)
        if self.count % self.every == 0:
            self.kept.append(value)
            if len(self.kept) >= _MOST_KEPT:
                del self.kept[1::2]
                self.every *= 2
        self.count += 1

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
        skipped: SkippedItems | None = None,
    ) -> None:
        """`write` gets the sums, on the heartbeats thread; without it nothing is counted.
        `skipped` are the items of the table that the worker's readers left out."""
        self._skipped = skipped
        self._skipped_before = 0
        self._clock = clock
        self._write = write
        self._every_s = every.total_seconds()
        self._lock = threading.Lock()
        self._counts: Counter[Count] = Counter()
        self._seconds: dict[Seconds, _Distribution] = {}
        self._since = clock.monotonic()

    def count(self, what: Count, *, ran_s: float | None = None) -> None:
        """Count one; `ran_s` is the length of a run that ended, in seconds."""
        if self._write is None:
            return
        with self._lock:
            self._counts[what] += 1
            if ran_s is not None:
                self._add(Seconds.RUNNING, ran_s)

    def started(self, *, queued_s: float | None) -> None:
        """Count a run that begins; `queued_s` is None unless it is the job's first."""
        if self._write is None:
            return
        with self._lock:
            self._counts[Count.STARTED] += 1
            if queued_s is not None:
                self._add(Seconds.QUEUED, queued_s)

    def received(self, messages: int) -> None:
        """Count a receive that brought that many messages."""
        if self._write is None:
            return
        with self._lock:
            self._counts[Count.RECEIVES] += 1
            if messages == 0:
                self._counts[Count.EMPTY_RECEIVES] += 1

    def tick(self) -> None:
        """Write what was counted, if a minute has passed."""
        if self._write is not None and self._clock.monotonic() - self._since >= self._every_s:
            self.flush()

    def flush(self) -> None:
        """Write what was counted, if anything was."""
        if self._write is None:
            return
        with self._lock:
            counts, self._counts = self._counts, Counter()
            seconds, self._seconds = self._seconds, {}
            self._since = self._clock.monotonic()
            if self._skipped is not None and self._skipped.count > self._skipped_before:
                counts[Count.UNREADABLE] = self._skipped.count - self._skipped_before
                self._skipped_before += counts[Count.UNREADABLE]
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
            # metrics must not disturb the work
            log.exception("metrics not written")

    def _add(self, what: Seconds, value: float) -> None:
        distribution = self._seconds.get(what)
        if distribution is None:
            distribution = self._seconds[what] = _Distribution()
        distribution.add(value)
