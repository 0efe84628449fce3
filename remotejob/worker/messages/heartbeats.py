"""Extends the lease of every run, and the visibility timeout of every message held."""

from __future__ import annotations

import logging
import queue
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from remotejob.domain.errors import JobCancelled, LeaseLost, TimedOut
from remotejob.domain.usage import Call
from remotejob.jobs.messaging.messages import Pending
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Address, Installation, Outgoing, Received
from remotejob.tasks.runs_in import Process
from remotejob.worker.background import Background, Inline
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.messages.settlements import Settlement
from remotejob.worker.runs.heartbeat import beat
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

BEATS_PER_LEASE: Final = 3

_MARGIN: Final = timedelta(hours=1)
"""How long before SQS's limit on hiding a message it is replaced by another one."""

_LEASES_OF_MARGIN: Final = 3

_EXTEND: Final = "extend a lease"
_HIDE: Final = "keep messages hidden"
_REPLACE: Final = "replace a message"
_END: Final = "end a run"

_UNWINDING: Final = timedelta(seconds=10)
"""How long a task that is out of time may take to notice, before its run is ended without it."""


_PATIENCE: Final = 1.0
"""Seconds to wait for the heartbeats of a round, so that one request hides all its messages."""


@dataclass(slots=True, eq=False)
class _Round:
    """Heartbeats that began together, so that one request can hide the messages of their runs."""

    began: float
    under_way: int = 0
    alive: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class _Schedule:
    """When one run is due, and what was done for it."""

    beaten: float
    """When its last heartbeat began. A checkpoint extends the lease too, but hides no message."""
    failed: int = 0
    """Heartbeats in a row."""
    not_before: float = 0.0
    """The next try after one that failed."""
    replacement_of: Received | None = None
    """The message whose replacement was sent, whether it is deleted or not."""


class Heartbeats:
    """Keeps everything the worker holds. `beat` starts what is due and returns.

    Requests run in the background: one without an answer costs no other run its lease, and no
    second one of its kind starts while it is on its way.
    """

    def __init__(
        self,
        installation: Installation,
        handler: MessageHandler,
        runs: InFlight,
        *,
        background: Background | None = None,
    ) -> None:
        """`background` makes the requests; default at once, in the calling thread."""
        self._background = background or Inline()
        self._installation = installation
        self._handler = handler
        self._runs = runs
        self._extended: dict[str, float] = {}
        self._outages = OutageLog(installation.clock)
        self._lock = threading.Lock()
        self._schedules: dict[str, _Schedule] = {}
        self._rounds: list[_Round] = []
        self._settlements: queue.SimpleQueue[Settlement] = queue.SimpleQueue()

    @property
    def interval(self) -> timedelta:
        """Time between two heartbeats of one run."""
        return self._installation.lease / BEATS_PER_LEASE

    def beat(self) -> list[Settlement]:
        """Start the heartbeats that are due; return how to settle runs that took too long."""
        now = self._installation.clock.monotonic()
        runs = [run for run in self._runs.running() if not run.ended]
        self._forget_schedules_but_of(runs)
        self._begin_round([run for run in runs if self._is_due(run, now)], now)
        alive = self._still_there()
        self._keep_hidden(alive, now)
        self._replace_messages(alive)
        # last: ending a run may take long if requests are made one after the other
        for run in runs:
            self._end_if_too_long(run, now)
        self._say_what_was_lost(runs)
        return self.settlements()

    def settlements(self) -> list[Settlement]:
        """How to settle the runs that were ended for taking too long, since the last call."""
        # no other thread takes any out
        return [self._settlements.get() for _ in range(self._settlements.qsize())]

    def _begin_round(self, due: list[Run], now: float) -> None:
        if not due:
            return
        begun = _Round(began=now)
        with self._lock:
            self._rounds.append(begun)
        for run in due:
            with self._lock:
                begun.under_way += 1
            if not self._background.do(("beat", run.run_id), partial(self._extend_in, begun, run)):
                with self._lock:
                    begun.under_way -= 1
                # its last heartbeat still waits for an answer, and cannot notice the end
                self._still_ours(run)

    def _extend_in(self, begun: _Round, run: Run) -> None:
        goes_on = False
        try:
            goes_on = self._extend(run)
        finally:
            with self._lock:
                begun.under_way -= 1
                if goes_on:
                    begun.alive.append(run)
                if begun not in self._rounds:
                    # the round is closed: it did not wait for this one
                    self._rounds.append(begun)

    def _still_there(self) -> list[Run]:
        """The runs that continue, from the rounds that are over or took too long."""
        now = self._installation.clock.monotonic()
        alive: list[Run] = []
        with self._lock:
            going = []
            for begun in self._rounds:
                if begun.under_way and now - begun.began < _PATIENCE:
                    going.append(begun)
                else:
                    alive += begun.alive
                    begun.alive = []
            self._rounds = going
        return [run for run in alive if not run.ended]

    def beat_for(self, run: Run) -> bool:
        """Send a heartbeat for one run, due or not. Whether its lease was extended."""
        before = run.lease
        if not self._extend(run) or run.lease is before:
            return False
        if run.held.since is not None:
            self._hide(run.held.message.address, [run], [])
        return True

    def _is_due(self, run: Run, now: float) -> bool:
        if run.ended or isinstance(run.stop_signal.reason, LeaseLost | JobCancelled):
            return False
        # a task's own lease may be shorter; its message is hidden for the system's lease anyway
        interval = min(self.interval, run.lease_length / BEATS_PER_LEASE)
        schedule = self._schedule(run)
        return now - schedule.beaten >= interval.total_seconds() and now >= schedule.not_before

    def _schedule(self, run: Run) -> _Schedule:
        with self._lock:
            return self._schedules.setdefault(run.run_id, _Schedule(beaten=run.began))

    def _forget_schedules_but_of(self, runs: list[Run]) -> None:
        kept = {run.run_id for run in runs}
        with self._lock:
            self._schedules = {key: one for key, one in self._schedules.items() if key in kept}

    def _extend(self, run: Run) -> bool:
        """Send one heartbeat of one run. Whether the run continues."""
        began = self._installation.clock.monotonic()
        # a lost lease is never revived, so no request is needed
        if not self._still_ours(run):
            return False
        try:
            goes_on = beat(run)
        except Exception as problem:  # noqa: BLE001 (tried again while the lease lasts)
            self._outages.failed(_EXTEND, problem, **run.context.fields)
            self._try_again_later(run)
            return self._still_ours(run)
        self._outages.over(_EXTEND)
        schedule = self._schedule(run)
        schedule.beaten, schedule.failed, schedule.not_before = began, 0, 0.0
        return goes_on

    def _try_again_later(self, run: Run) -> None:
        schedule = self._schedule(run)
        schedule.failed += 1
        lease = run.lease_length.total_seconds()
        pause = pause_after(schedule.failed, first=min(1.0, lease / 24), longest=lease / 12)
        # no later than the end of the lease, to stop the run then
        schedule.not_before = min(self._installation.clock.monotonic() + pause, run.lease.ends)

    def _still_ours(self, run: Run) -> bool:
        if self._installation.clock.monotonic() < run.lease.ends:
            return True
        run.stop_signal.set(
            LeaseLost(f"the lease of job {run.job_id} ended before it could be extended")
        )
        return False

    def _say_what_was_lost(self, runs: list[Run]) -> None:
        """Say which runs lost their lease, even if their tasks go on and do not notice."""
        lost_leases = self._handler.lost_leases
        for run in runs:
            if isinstance(run.stop_signal.reason, LeaseLost):
                lost_leases.note(run)
        for run_id in lost_leases.due():
            self._background.do(("lost", run_id), partial(lost_leases.say, run_id))

    def _end_if_too_long(self, run: Run, now: float) -> None:
        task = run.task
        if run.ended or (task.timeout is None and task.work_timeout is None):
            return
        over, reason = _over(run, now)
        if over < 0:
            return
        run.stop_signal.set(reason)
        if isinstance(run.stop_signal.reason, TimedOut):
            # this one has the task's stack
            reason = run.stop_signal.reason
        # a task that calls the library notices by itself and cleans up
        unwinding = _UNWINDING
        if isinstance(task.runs_in, Process):
            # it is killed after its grace, and its own thread ends the run
            unwinding += task.runs_in.grace
        if over >= unwinding.total_seconds():
            self._background.do(("end", run.run_id), partial(self._end, run, reason))

    def _end(self, run: Run, reason: TimedOut) -> None:
        try:
            settlement = self._handler.end_run(run, reason)
        except Exception as problem:  # noqa: BLE001 (its lease ends, and another run takes over)
            self._outages.failed(_END, problem, **run.context.fields)
            return
        self._outages.over(_END)
        if settlement is not None:
            self._settlements.put(settlement)

    def _keep_hidden(self, alive: list[Run], now: float) -> None:
        """Hide the messages of runs that continue, and of jobs received but not begun."""
        waiting = self._runs.waiting()
        held = {message.receipt for message in waiting}
        self._extended = {key: at for key, at in self._extended.items() if key in held}
        runs: defaultdict[Address, list[Run]] = defaultdict(list)
        turns: defaultdict[Address, list[Received]] = defaultdict(list)
        for run in alive:
            if run.held.since is not None:
                runs[run.held.message.address].append(run)
        for message in waiting:
            since = now - self._extended.setdefault(message.receipt, now)
            if since >= self.interval.total_seconds():
                turns[message.address].append(message)
        for address in {**runs, **turns}:
            hide = partial(self._hide, address, runs[address], turns[address])
            if self._background.do(("hide", address), hide):
                self._extended.update({message.receipt: now for message in turns[address]})
            else:
                # the queue does not answer: they join the next round
                with self._lock:
                    self._rounds.append(_Round(began=now, alive=runs[address]))

    def _hide(self, address: Address, runs: list[Run], turns: list[Received]) -> None:
        holding = [run for run in runs if not run.ended]
        # not those given back meanwhile: other workers must see them
        receipts = [run.held.message.receipt for run in holding]
        receipts += [message.receipt for message in turns if self._runs.waits(message)]
        if not receipts:
            return
        try:
            self._installation.messages.hide(address, receipts, self._installation.lease)
            self._count(receipts, holding)
            self._outages.over(_HIDE)
        except Exception as problem:  # noqa: BLE001 (a redelivery meets the live lease)
            self._outages.failed(_HIDE, problem, lane=str(address))

    def _replace_messages(self, alive: list[Run]) -> None:
        """Replace the messages that SQS will not hide much longer."""
        begun = self._installation.clock.monotonic() - self._longest_hold.total_seconds()
        for run in alive:
            if run.held.since is not None and run.held.since <= begun:
                self._background.do(("replace", run.run_id), partial(self._replace_message, run))

    def _replace_message(self, run: Run) -> None:
        message, messages, schedule = (
            run.held.message,
            run.installation.messages,
            self._schedule(run),
        )
        try:
            # send once: if only the delete failed, only the delete is retried
            if schedule.replacement_of is not message:
                again = Outgoing(
                    body=Pending.of(run.record, trace=run.trace).body(),
                    # not before the lease would end if this process died now
                    delay=min(self._installation.lease, messages.capabilities.max_delay),
                    group=message.group,
                )
                messages.send(message.address, [again])
                schedule.replacement_of = message
            # deleted last: a crash before this leaves two messages of the job, never none
            messages.delete(message.address, [message.receipt])
        except Exception as problem:  # noqa: BLE001 (tried again at the next beat)
            self._outages.failed(_REPLACE, problem, **run.context.fields)
            return
        self._outages.over(_REPLACE)
        run.held.replaced(message)

    @property
    def _longest_hold(self) -> timedelta:
        """How long to keep one message hidden: well within the queue's limit."""
        cap = self._installation.messages.capabilities.max_hidden
        margin = max(_MARGIN, _LEASES_OF_MARGIN * self._installation.lease)
        return max(cap - margin, cap / 2)

    def _count(self, receipts: list[str], holding: list[Run]) -> None:
        """Count each run's share of the requests that hid these messages."""
        batch = self._installation.messages.capabilities.batch
        part = -(-len(receipts) // batch) / len(receipts)
        for run in holding:
            run.usage.share(Call.HIDE, part)


def _over(run: Run, now: float) -> tuple[float, TimedOut]:
    """How many seconds a run is over its time, and which limit; negative while it is within."""
    timeout, silence = run.task.timeout, run.task.work_timeout
    late = silent = float("-inf")
    if timeout is not None:
        late = now - run.began - timeout.total_seconds()
    if silence is not None:
        silent = now - run.stop_signal.stirred - silence.total_seconds()
    if late >= silent:
        return late, TimedOut(f"the run took longer than the {timeout} its task allows")
    return silent, TimedOut(f"the task gave no sign of life for {silence} (work_timeout)")
