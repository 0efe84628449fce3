"""Heartbeats: the lease of every run and the visibility of every message held."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from remotejob.domain import changes
from remotejob.domain.errors import JobCancelled, LeaseLost, TimedOut
from remotejob.domain.schedule import GRACE
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.domain.usage import Call
from remotejob.ports import Address, Installation, Updated
from remotejob.worker.attendant import Attendant
from remotejob.worker.run import Run, new_lease
from remotejob.worker.runs import Runs
from remotejob.worker.settlements import Settlement

log = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3

Each = Callable[[Callable[[Run], bool], list[Run]], Iterable[bool]]

_UNWINDING: Final = timedelta(seconds=10)
"""How long a task out of time may take to notice before its run is ended over its head."""


class Heart:
    """Beats for everything the worker holds. `beat` does what is due and returns."""

    def __init__(
        self, installation: Installation, attendant: Attendant, runs: Runs, *, each: Each = map
    ) -> None:
        """`each` applies a function to many runs, as `map` does, perhaps side by side."""
        self._each = each
        self._installation = installation
        self._attendant = attendant
        self._runs = runs
        self._extended: dict[str, float] = {}

    @property
    def interval(self) -> timedelta:
        """Between two beats of one run."""
        return self._installation.lease / BEATS_PER_LEASE

    def beat(self) -> list[Settlement]:
        """Extend what is due; return settlements of runs that were ended for taking too long."""
        now = self._installation.clock.monotonic()
        runs = [run for run in self._runs.running() if not run.ended]
        settlements = [self._end_if_too_long(run, now) for run in runs]
        due = [run for run in runs if self._is_due(run, now)]
        # side by side: one slow request must not cost the other runs their leases
        extended = self._each(self._extend, due)
        alive = [run for run, ours in zip(due, extended, strict=True) if ours]
        self._keep_hidden(alive, now)
        return [settlement for settlement in settlements if settlement is not None]

    def beat_for(self, run: Run) -> bool:
        """Beat for one run, due or not. Whether its lease was extended."""
        now, before = self._installation.clock.monotonic(), run.lease
        if not self._extend(run) or run.lease is before:
            return False
        self._keep_hidden([run], now)
        return True

    def _is_due(self, run: Run, now: float) -> bool:
        if run.ended or isinstance(run.stopped, LeaseLost | JobCancelled):
            return False
        # a task's own lease may be shorter; its message is hidden for the system's in any case
        interval = min(self.interval, self._lease(run) / BEATS_PER_LEASE)
        return now - run.lease.began >= interval.total_seconds()

    def _lease(self, run: Run) -> timedelta:
        return run.task.lease or self._installation.lease

    def _extend(self, run: Run) -> bool:
        """One heartbeat of one run. Whether the run goes on."""
        clock, lease = self._installation.clock, self._lease(run)
        began, now_ms = clock.monotonic(), clock.now_ms()
        record = run.record
        first = record.attention is None
        try:
            report = run.report()
            outcome = self._installation.store.update(
                changes.heartbeat(
                    record,
                    now_ms=now_ms,
                    lease_ms=span_ms(lease),
                    report=report.values,
                    mark_ms=now_ms + span_ms(lease + GRACE) if first else None,
                )
            )
        except Exception as problem:  # noqa: BLE001 (tried again while the lease lasts)
            log.warning(
                "heartbeat not taken: %s", problem, extra={"job": run.job_id, "run": run.run_id}
            )
            return self._still_ours(run)
        run.usage.count({Call.UPDATE_ITEM: 1})
        if isinstance(outcome, Updated):
            if first:
                run.usage.marked()
            run.extended(outcome.record, new_lease(began, lease), reported=report.version)
            return True
        met = outcome.record
        if met is not None and met.state is State.CANCELLED and met.run_id == run.run_id:
            run.stop(JobCancelled(f"job {run.job_id} was cancelled"))
        else:
            run.stop(LeaseLost(f"job {run.job_id} belongs to another run"))
        return False

    def _still_ours(self, run: Run) -> bool:
        if self._installation.clock.monotonic() < run.lease.ends:
            return True
        run.stop(LeaseLost(f"the lease of job {run.job_id} ended before it could be extended"))
        return False

    def _end_if_too_long(self, run: Run, now: float) -> Settlement | None:
        timeout = run.task.timeout
        if timeout is None:
            return None
        over = now - run.began - timeout.total_seconds()
        if over < 0:
            return None
        reason = TimedOut(f"the run took longer than the {timeout} its task allows")
        run.stop(reason)
        # a task that calls the library notices by itself, and cleans up after itself
        if over < _UNWINDING.total_seconds():
            return None
        return self._attendant.end_run(run, reason)

    def _keep_hidden(self, alive: list[Run], now: float) -> None:
        """Extend the messages of living runs, and of those that wait for their turn."""
        waiting = self._runs.waiting()
        held = {message.receipt for message in waiting}
        self._extended = {key: at for key, at in self._extended.items() if key in held}
        due = [
            message
            for message in waiting
            if now - self._extended.setdefault(message.receipt, now)
            >= self.interval.total_seconds()
        ]
        by_address: defaultdict[Address, list[str]] = defaultdict(list)
        for message in (*(run.message for run in alive), *due):
            by_address[message.address].append(message.receipt)
        for address, receipts in by_address.items():
            try:
                self._installation.messages.hide(address, receipts, self._installation.lease)
                self._count(address, receipts, alive)
            except Exception as problem:  # noqa: BLE001 (a redelivery meets the live lease)
                log.warning("messages not kept hidden: %s", problem, extra={"lane": str(address)})
        self._extended.update({message.receipt: now for message in due})

    def _count(self, address: Address, receipts: list[str], alive: list[Run]) -> None:
        """Count for each run its part of the requests that kept these messages hidden."""
        batch = self._installation.messages.capabilities.batch
        part = -(-len(receipts) // batch) / len(receipts)
        for run in alive:
            if run.message.address == address:
                run.usage.share(Call.HIDE, part)
