"""Heartbeats: the lease of every run and the visibility of every message held."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from remotejob.domain.errors import JobCancelled, LeaseLost, TimedOut
from remotejob.domain.usage import Call
from remotejob.envelope import Pending
from remotejob.ports import Address, Installation, Outgoing
from remotejob.worker.attendant import Attendant
from remotejob.worker.beating import beat
from remotejob.worker.executors.options import Process
from remotejob.worker.outage import Troubles, pause_after
from remotejob.worker.run import Run
from remotejob.worker.runs import Runs
from remotejob.worker.settlements import Settlement

log = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3

_MARGIN: Final = timedelta(hours=1)
"""How long before a message can be hidden no longer another takes its place."""

_LEASES_OF_MARGIN: Final = 3

Each = Callable[[Callable[[Run], bool], list[Run]], Iterable[bool]]

_EXTEND: Final = "extend a lease"
_HIDE: Final = "keep messages hidden"

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
        self._troubles = Troubles(installation.clock)
        self._failed: dict[str, tuple[int, float]] = {}
        """Of runs whose last beat failed, by id: how many did, and when to try again."""

    @property
    def interval(self) -> timedelta:
        """Between two beats of one run."""
        return self._installation.lease / BEATS_PER_LEASE

    def beat(self) -> list[Settlement]:
        """Extend what is due; return settlements of runs that were ended for taking too long."""
        now = self._installation.clock.monotonic()
        runs = [run for run in self._runs.running() if not run.ended]
        if self._failed:
            held = {run.run_id for run in runs}
            self._failed = {key: tried for key, tried in self._failed.items() if key in held}
        settlements = [self._end_if_too_long(run, now) for run in runs]
        due = [run for run in runs if self._is_due(run, now)]
        # side by side: one slow request must not cost the other runs their leases
        extended = self._each(self._extend, due)
        alive = [run for run, ours in zip(due, extended, strict=True) if ours]
        self._keep_hidden(alive, now)
        self._replace_messages(alive)
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
        # not by its lease: a checkpoint extends that, and hides no message
        if now - run.beaten < interval.total_seconds():
            return False
        failed = self._failed.get(run.run_id)
        return failed is None or now >= failed[1]

    def _lease(self, run: Run) -> timedelta:
        return run.task.lease or self._installation.lease

    def _extend(self, run: Run) -> bool:
        """One heartbeat of one run. Whether the run goes on."""
        began = self._installation.clock.monotonic()
        # a lease that has ended is never revived: nobody need be asked
        if not self._still_ours(run):
            return False
        try:
            goes_on = beat(run)
        except Exception as problem:  # noqa: BLE001 (tried again while the lease lasts)
            self._troubles.failed(_EXTEND, problem, **run.context.fields)
            self._try_again_later(run)
            return self._still_ours(run)
        self._troubles.over(_EXTEND)
        self._failed.pop(run.run_id, None)
        run.beaten = began
        return goes_on

    def _try_again_later(self, run: Run) -> None:
        failures = self._failed.get(run.run_id, (0, 0.0))[0] + 1
        lease = self._lease(run).total_seconds()
        pause = pause_after(failures, first=min(1.0, lease / 24), longest=lease / 12)
        # at the end of the lease at the latest, to stop the run
        again = min(self._installation.clock.monotonic() + pause, run.lease.ends)
        self._failed[run.run_id] = failures, again

    def _still_ours(self, run: Run) -> bool:
        if self._installation.clock.monotonic() < run.lease.ends:
            return True
        run.stop(LeaseLost(f"the lease of job {run.job_id} ended before it could be extended"))
        return False

    def _end_if_too_long(self, run: Run, now: float) -> Settlement | None:
        task = run.task
        if task.timeout is None and task.work_timeout is None:
            return None
        over, reason = _over(run, now)
        if over < 0:
            return None
        run.stop(reason)
        # a task that calls the library notices by itself, and cleans up after itself
        unwinding = _UNWINDING
        if isinstance(task.runs_in, Process):
            # it is killed after its grace, and ends in its own thread
            unwinding += task.runs_in.grace
        if over < unwinding.total_seconds():
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
        holding = [run for run in alive if run.holds_since is not None]
        for message in (*(run.message for run in holding), *due):
            by_address[message.address].append(message.receipt)
        for address, receipts in by_address.items():
            try:
                self._installation.messages.hide(address, receipts, self._installation.lease)
                self._count(address, receipts, holding)
                self._troubles.over(_HIDE)
            except Exception as problem:  # noqa: BLE001 (a redelivery meets the live lease)
                self._troubles.failed(_HIDE, problem, lane=str(address))
        self._extended.update({message.receipt: now for message in due})

    def _replace_messages(self, alive: list[Run]) -> None:
        """Put new messages in the place of those that cannot be hidden much longer."""
        begun = self._installation.clock.monotonic() - self._longest_hold.total_seconds()
        old = [run for run in alive if run.holds_since is not None and run.holds_since <= begun]
        if old:
            list(self._each(self._replace_message, old))

    def _replace_message(self, run: Run) -> bool:
        message, messages = run.message, self._installation.messages
        again = Outgoing(
            body=Pending.of(run.record, trace=run.trace).body(),
            # not before the job could be had, were this process to die now
            delay=min(self._installation.lease, messages.capabilities.max_delay),
            group=message.group,
        )
        try:
            messages.send(message.address, [again])
            run.usage.count({Call.SEND: 1})
            # deleted last: a crash before this leaves two messages of the job, never none
            messages.delete(message.address, [message.receipt])
            run.usage.count({Call.DELETE: 1})
        except Exception as problem:  # noqa: BLE001 (tried again at the next beat)
            log.warning("message not replaced: %s", problem, extra=run.context.fields)
            return True
        run.replaced(message)
        return True

    @property
    def _longest_hold(self) -> timedelta:
        """How long a message is kept hidden: well within what the queue allows in all."""
        cap = self._installation.messages.capabilities.max_hidden
        margin = max(_MARGIN, _LEASES_OF_MARGIN * self._installation.lease)
        return max(cap - margin, cap / 2)

    def _count(self, address: Address, receipts: list[str], alive: list[Run]) -> None:
        """Count for each run its part of the requests that kept these messages hidden."""
        batch = self._installation.messages.capabilities.batch
        part = -(-len(receipts) // batch) / len(receipts)
        for run in alive:
            if run.message.address == address:
                run.usage.share(Call.HIDE, part)


def _over(run: Run, now: float) -> tuple[float, TimedOut]:
    """For how many seconds a run has gone on too long, and in what way; less than 0: it may."""
    timeout, silence = run.task.timeout, run.task.work_timeout
    late = silent = float("-inf")
    if timeout is not None:
        late = now - run.began - timeout.total_seconds()
    if silence is not None:
        silent = now - run.stirred - silence.total_seconds()
    if late >= silent:
        return late, TimedOut(f"the run took longer than the {timeout} its task allows")
    return silent, TimedOut(f"the task gave no sign of life for {silence} (work_timeout)")
