"""Handles one message: claims its job, runs it, commits the outcome.

It has no threads and never waits, so tests can try each step alone, with a crash before and after
each request. `domain.claim_decisions` decides what to do about the record that refused a claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from remotejob import tracing
from remotejob.domain import claim_decisions, run_changes
from remotejob.domain.argument_checks import is_a
from remotejob.domain.chain import within
from remotejob.domain.errors import (
    JobCancelled,
    LeaseLost,
    ProcessDied,
    RunInterrupted,
    UnreadableItem,
    WorkerStopping,
)
from remotejob.domain.metric_names import Count
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.suspects import may_have_company
from remotejob.domain.text import said_by
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.locks import unlock
from remotejob.jobs.coordination.successors import End, store_end
from remotejob.jobs.messaging.messages import BadMessage, Pending
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Installation, Received, Refused, Updated, took_effect
from remotejob.tasks.completion import Completion
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.executors.processes.program import NotStarted
from remotejob.worker.messages import outcomes
from remotejob.worker.messages.beside_the_error import made_or
from remotejob.worker.messages.claims import Claims, unclaimed
from remotejob.worker.messages.declines import Declines
from remotejob.worker.messages.lost_leases import LostLeases
from remotejob.worker.messages.run_events import tell_of_end
from remotejob.worker.messages.settlements import (
    Conclude,
    DeadLetter,
    Hide,
    Leave,
    Replace,
    Settlement,
)
from remotejob.worker.metrics import Metrics
from remotejob.worker.runs.depth import link_of
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.log_context import running
from remotejob.worker.runs.no_space import lacked_space
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

RELEASES_FREE: Final = 10
"""How often a job may be given back. From then on, each time counts as a failed attempt."""

_RECEIVES_OF_ONE: Final = 200
"""After so many receives of a message whose job another worker has, it is replaced: SQS gives up on
a message that is received too often, and a job may run for days."""

_RECEIVES_OF_NEWER: Final = 50
"""Receives of a message, over about half a day, until the record of its job counts as damaged and
not as one of a newer version. That version's sweep sends another message."""

_FIRST_HIDDEN: Final = timedelta(seconds=5)
_COMMIT: Final = "commit an outcome"

Call = Callable[[Run], Any]
"""Runs the task's function: in this thread, or elsewhere."""


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


@dataclass(frozen=True, slots=True)
class _NoSpace:
    """The disk of this worker was full: the first time, that is no failure of the job."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class _Stopped:
    """The run was stopped; the reason counts, whatever the task returned or raised."""

    reason: RunInterrupted


@dataclass(frozen=True, slots=True)
class _Completed:
    """The task returned, and its result and manifest are stored."""

    completion: Completion
    kept: outcomes.Kept


_Outcome = _Completed | _Raised | _NoSpace | _Stopped


def _nothing() -> None:
    pass


class ProcessDeath(BaseException):
    """A test raises it to simulate the death of the process. Nothing here may catch it."""


class MessageHandler:
    """What a worker does with a message, from its receipt to its settlement."""

    def __init__(
        self,
        installation: Installation,
        tasks: Mapping[str, Task],
        *,
        worker: str,
        runs: InFlight,
        call: Call = call_here,
        metrics: Metrics | None = None,
        longest_decline: timedelta | None = None,
        on_no_space: Callable[[], None] = _nothing,
        on_begun: Callable[[], None] = _nothing,
        alone: Callable[[], bool] | None = None,
    ) -> None:
        """`longest_decline`: the longest delay of a job whose task is not registered here; default
        the queue's longest delay. `on_no_space` is called when a run found the disk full,
        `on_begun` when a run begins. `alone` is whether a run that the calling thread begins has
        the process to itself; default whether no other is in flight."""
        # what it does to a job is done by this worker, whoever connected
        installation = self._installation = replace(installation, actor=worker)
        longest = longest_decline or installation.messages.capabilities.max_delay
        self._declines = Declines(installation, longest=longest)
        self._tasks = tasks
        self.lost_leases: Final = LostLeases(installation)
        self._claims = Claims(
            installation,
            worker=worker,
            lost_leases=self.lost_leases,
            alone=alone or (lambda: not runs.running()),
        )
        self._runs = runs
        self._call = call
        self._on_no_space = on_no_space
        self._on_begun = on_begun
        self._outages = OutageLog(installation.clock)
        self._metrics = metrics or Metrics(clock=installation.clock)

    def attend(self, message: Received) -> Settlement | None:
        """Handle a message to the end of its job's run; return how to settle it.

        None if another thread has ended the run and settled the message.
        """
        begun = self.begin(message)
        return self._run(begun) if isinstance(begun, Run) else begun

    def begin(self, message: Received) -> Run | Settlement:
        """Claim the job of a message; without a claim, return how to settle the message.

        The caller holds a claimed run in `InFlight`, which keeps its lease alive, and ends it by
        `complete`, `fail` or `give_back`.
        """
        try:
            pending = Pending.read(message.body)
        except BadMessage as problem:
            return DeadLetter(message=message, reason=str(problem))
        if self._runs.adopt(message, pending.job_id):
            # it replaces a message that could not be hidden much longer (see `heartbeats`)
            return Leave(message=message)
        try:
            begun = self._begun(message, pending)
        except UnreadableItem as problem:
            return self._unreadable(message, problem)
        if isinstance(begun, Hide) and message.receives >= _RECEIVES_OF_ONE:
            delay = min(begun.span, self._installation.messages.capabilities.max_delay)
            return Replace(message=message, pending=pending, delay=delay)
        if isinstance(begun, Run):
            self._on_begun()
            self._metrics.started(queued_s=_queued_s(begun))
            # debug only: every run logs its end, and the first heartbeat logs the long ones
            file = begun.record.input
            log.debug(
                "run begins", extra={**_about(begun), "file": None if file is None else file.name}
            )
        return begun

    def pass_on(self, message: Received, pending: Pending) -> Settlement:
        """How to settle a message whose task another process shall run."""
        try:
            return self._declines.settle(message, pending)
        except UnreadableItem as problem:
            return self._unreadable(message, problem)

    def _begun(self, message: Received, pending: Pending) -> Run | Settlement:
        task = self._tasks.get(pending.task)
        if task is None:
            return self._declines.settle(message, pending)
        if self._past_half_its_life(message):
            # SQS drops a message after the queue's retention; the job may wait for longer
            return Replace(message=message, pending=pending, delay=timedelta(0))
        return self._claims.claim(message, pending, task)

    def _unreadable(self, message: Received, problem: UnreadableItem) -> Settlement:
        """What to do with the message of a job whose record cannot be read."""
        self._installation.skipped.add(problem)
        if problem.newer and message.receives < _RECEIVES_OF_NEWER:
            # after a rollback: a worker of the newer version may receive it next
            longest = self._installation.messages.capabilities.max_delay
            span = min(longest, _FIRST_HIDDEN * 2 ** min(message.receives, 10))
            return Hide(message=message, span=span)
        return DeadLetter(message=message, reason=str(problem))

    def complete(self, run: Run, completion: Completion) -> Settlement | None:
        """End a run with its result. None if another thread has ended it, as in `fail` and below.

        If the run was stopped, the reason counts and the result does not.
        """
        return self._ended(run, self._kept(run, completion))

    def fail(self, run: Run, error: BaseException) -> Settlement | None:
        """End a run with an error. The job runs again or fails, as its retry policy says."""
        return self._ended(run, _Raised(error))

    def give_back(self, run: Run, reason: str) -> Settlement | None:
        """End a run so that another one can claim the job at once."""
        return self.end_run(run, WorkerStopping(reason))

    def end_run(
        self, run: Run, reason: RunInterrupted, *, grace: timedelta = timedelta(0)
    ) -> Settlement | None:
        """End a run from outside its thread, which may continue for a while without effect.

        A task that can be killed is dead before this returns, so it cannot overlap the next run.
        `grace` is the longest it may take to stop by itself.
        """
        run.stop_signal.set(reason)
        if not run.stop_signal.kill(grace=grace):
            return None
        return self._end(run, _Stopped(reason)) if run.take_ending() else None

    def _past_half_its_life(self, message: Received) -> bool:
        age_ms = self._installation.clock.now_ms() - message.sent_ms
        return age_ms > span_ms(self._installation.messages.capabilities.retention) // 2

    def _run(self, run: Run) -> Settlement | None:
        with (
            self._runs.holding(run),
            run.workspace.cleaned(),
            running(run.context, run.trace),
            within(link_of(run.record, run.installation)),
        ):
            return self._ended(run, self._called(run))

    def _called(self, run: Run) -> _Outcome:
        try:
            result = self._call(run)
        except ProcessDeath:
            raise
        except BaseException as error:  # noqa: BLE001 (whatever it raises fails it, not the worker)
            return _NoSpace(error) if lacked_space(error) else _Raised(error)
        # a task that wants to set more than its result returns a Completion
        completion = result if is_a(result, Completion) else Completion(result=result)
        return self._kept(run, completion)

    def _kept(self, run: Run, completion: Completion) -> _Outcome:
        """Store the result before the run ends: while this waits for S3, heartbeats continue."""
        stopped = run.stop_signal.reason
        if stopped is not None:
            return _Stopped(stopped)
        try:
            return _Completed(completion, outcomes.kept(run, completion.result))
        except ProcessDeath:
            raise
        except BaseException as error:  # noqa: BLE001 (a result that cannot be kept is a failure)
            # RunInterrupted too: `_ended` puts the reason in its place
            return _NoSpace(error) if lacked_space(error) else _Raised(error)

    def _ended(self, run: Run, outcome: _Outcome) -> Settlement | None:
        # a task may swallow the interruption; its result still does not count
        stopped = run.stop_signal.reason
        if stopped is not None:
            outcome = _Stopped(stopped)
        match outcome:
            case _Raised(error) | _NoSpace(error) | _Stopped(error):
                tracing.ended_with(error)
        return self._end(run, outcome) if run.take_ending() else None

    def _end(self, run: Run, outcome: _Outcome) -> Settlement:
        outside = _from_outside(outcome)
        if outside is not None and run.record.at_most_once and run.begun:
            log.error("failed: ended from outside, and must not run again", extra=_about(run))
            return self._commit(run, outcomes.failed_not_again(run, outside, self._installation))
        match outcome:
            case _Completed():
                return self._completed(run, outcome)
            case _Raised(error) if _memory_ran_out(error) and may_have_company(run.record):
                log.warning("run given back: memory ran out: %s", error, extra=_about(run))
                return self._commit(run, outcomes.ran_out_of_memory(run, self._installation))
            case _Raised(error):
                return self._failed(run, error)
            case _NoSpace(error):
                return self._ran_out_of_space(run, error)
            case _Stopped(LeaseLost() as reason):
                log.warning("run abandoned: %s", reason, extra=_about(run))
                return self._lost(run)
            case _Stopped(JobCancelled()):
                return self._cancelled(run)
            case _Stopped(WorkerStopping() as reason) if run.record.releases < RELEASES_FREE:
                log.info("run given back: %s", reason, extra=_about(run))
                return self._commit(run, outcomes.released(run, reason, self._installation))
            case _Stopped(reason):
                return self._failed(run, reason)

    def _completed(self, run: Run, done: _Completed) -> Settlement:
        try:
            end = outcomes.completed(run, done.completion, done.kept, self._installation)
        except Exception as error:  # noqa: BLE001 (a job that cannot be repeated is a failure)
            tracing.ended_with(error)
            return self._failed(run, error)
        return self._commit(run, end)

    def _failed(self, run: Run, error: BaseException) -> Settlement:
        return self._commit(run, outcomes.failed(run, error, self._installation))

    def _ran_out_of_space(self, run: Run, error: BaseException) -> Settlement:
        made_or(None, self._on_no_space, run=run, what="the worker does not know of the full disk")
        if run.record.no_space:
            # two disks were too small for it
            return self._failed(run, error)
        said = said_by(error)
        log.warning("run given back: no space on the disk: %s", said, extra=_about(run))
        return self._commit(run, outcomes.ran_out_of_space(run, self._installation))

    def _cancelled(self, run: Run) -> Settlement:
        # a caller who took the job by hand learns it from the run, even after a restart
        run.stop_signal.set(JobCancelled(f"job {run.job_id} was cancelled"))
        log.info("run stopped: the job was cancelled", extra=_about(run))
        self._metrics.count(Count.CANCELLED, ran_s=run.ran_s)
        outcome = self._installation.store.update(
            run_changes.let_go_of_cancelled(run.record, run_id=run.run_id)
        )
        record = outcome.record
        if record is not None and record.state is State.CANCELLED:
            return Conclude(message=run.held.message, record=record)
        if isinstance(outcome, Updated):
            # restarted meanwhile: only our lease kept it from running
            return Hide(message=run.held.message, span=timedelta(0))
        return Leave(message=run.held.message)

    def _commit(self, run: Run, end: End) -> Settlement:
        end, outcome = self._committed(run, end)
        record = outcome.record
        if record is not None and took_effect(end.change, outcome):
            return self._after_commit(run, record)
        ours = record is not None and record.run_id == run.run_id
        if ours and record is not None and record.state is not State.RUNNING:
            # cancelled under this run, and perhaps restarted since
            return self._cancelled(run)
        log.warning("the outcome came too late: another run has the job", extra=_about(run))
        return self._lost(run)

    def _lost(self, run: Run) -> Settlement:
        self._metrics.count(Count.LEASE_LOST)
        self.lost_leases.note(run)
        self.lost_leases.say(run.run_id)
        return Leave(message=run.held.message)

    def _committed(self, run: Run, end: End) -> tuple[End, Updated | Refused]:
        """Retry the change as long as the lease lasts: one bad answer must not cost the work.

        If an earlier attempt succeeded without an answer, its own effect refuses the next one. If
        a heartbeat overtakes the change, it is made again at a later time.
        """
        clock = self._installation.clock
        failures = 0
        while True:
            try:
                made = store_end(end, self._installation)
            except Exception as problem:
                # AccessDenied too: credentials get renewed, and policies take time to spread
                failures += 1
                pause = timedelta(seconds=pause_after(failures, first=1.0, longest=10.0))
                if clock.monotonic() + pause.total_seconds() >= run.lease.ends:
                    self.lost_leases.note(run)
                    raise
                self._outages.failed(_COMMIT, problem, **_about(run))
                clock.sleep(pause)
            else:
                self._outages.over(_COMMIT)
                if made.record is None or not run_changes.overtaken(end.change, made.record):
                    return end, made
                end = replace(end, change=run_changes.made_later(end.change, made.record))

    def _after_commit(self, run: Run, record: JobRecord) -> Settlement:
        message = run.held.message
        tell_of_end(record, run.run_id, self._installation)
        self._metrics.count(_counted(run, record), ran_s=run.ran_s)
        if record.terminal:
            log.info("job %s", record.state, extra={**_about(run), "ran_s": round(run.ran_s, 3)})
            return Conclude(message=message, record=record)
        if record.locked:
            unlock(record, self._installation)
        now = self._installation.clock.now_ms()
        if record.state is State.WAITING and record.due_ms is not None and record.due_ms > now:
            verdict = claim_decisions.Wait(record.due_ms)
            pending = Pending.of(record, trace=run.trace)
            return unclaimed(message, pending, verdict, installation=self._installation, now_ms=now)
        if run.held.since is None:
            # its replacement is on its way, or hidden by the worker that received it
            pending = Pending.of(record, trace=run.trace)
            return Replace(message=message, pending=pending, delay=timedelta(0))
        stopped = run.stop_signal.reason
        # a machine without room for a process has none a moment later either
        span = stopped.pause if isinstance(stopped, NotStarted) else timedelta(0)
        return Hide(message=message, span=span)


def _from_outside(outcome: _Outcome) -> BaseException | None:
    """What ended a run from outside, whatever its task did; None if nothing did."""
    match outcome:
        case _Raised(error) if is_a(error, ProcessDied):
            return error
        case _NoSpace(error):
            return error
        case _Stopped(WorkerStopping() as reason):
            return reason
    return None


def _memory_ran_out(error: BaseException) -> bool:
    return is_a(error, ProcessDied) and error.memory_ran_out


def _counted(run: Run, record: JobRecord) -> Count:
    """What to count a run as, once its end is committed."""
    match record.state:
        case State.COMPLETED:
            return Count.COMPLETED
        case State.FAILED:
            return Count.FAILED
        case State.CANCELLED:
            return Count.CANCELLED
    return Count.RELEASED if record.releases > run.record.releases else Count.RETRIED


def _queued_s(run: Run) -> float | None:
    """How long the job waited once it could begin, by the clocks of the queue and of this machine.

    None unless this is its first run.
    """
    record = run.record
    if record.failures or record.crashes or record.releases or record.started_ms is None:
        return None
    could_begin_ms = max(run.held.message.sent_ms, record.due_ms or 0)
    return max(0, record.started_ms - could_begin_ms) / 1000


def _about(run: Run) -> dict[str, Any]:
    return run.context.fields
