"""What works inside a system in memory: its workers, its scheduler, and the time that passes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, Final

from remotejob.client.job import Job
from remotejob.domain.check_times import GRACE
from remotejob.domain.errors import RemoteJobError, WorkerStopping
from remotejob.domain.marks import HEADS_SHARD, Attention
from remotejob.domain.times import span_ms
from remotejob.jobs.queries.listing import listed
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import PERIOD, tick
from remotejob.manual.holder import JobHolder
from remotejob.names import SHARDS
from remotejob.ports import Installation
from remotejob.testing.observed_run import FAILS_JOBS, Moment, call_observed
from remotejob.testing.system_faults import RunFault, SystemFaults
from remotejob.testing.system_settings import UserModules
from remotejob.testing.system_time import MovableClock, SystemMessages
from remotejob.testing.system_worker import SystemWorker
from remotejob.worker.messages.handler import ProcessDeath
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

SWEEP_PERIOD: Final = timedelta(hours=3)
"""As the stacks schedule it."""

_BEAT: Final = timedelta(seconds=1)
"""How far the time moves at once while something runs: as often as a worker looks what is due."""

_LONGEST_IDLE: Final = timedelta(hours=1)
"""How long a caller may sleep in a system in which nothing runs: `wait` without a timeout."""

_MESSAGES_OF_A_RUN: Final = 20
"""How many messages may be handled for each run that is allowed."""

_LISTED: Final = 10
_FAR_MS: Final = 1 << 52


class NotDrained(RemoteJobError):
    """The system was still busy when the test's patience was over; it says with what."""


class Engine:
    """Runs what is due, in the calling thread, on the test's clock."""

    def __init__(
        self,
        installation: Installation,
        *,
        healthy: Installation,
        clock: MovableClock,
        messages: SystemMessages,
        faults: SystemFaults,
        modules: UserModules,
        holder: JobHolder,
    ) -> None:
        """`healthy` is the installation without faults."""
        self._installation = installation
        self._scheduler = replace(installation, actor="scheduler")
        self._healthy = healthy
        self._clock = clock
        self._messages = messages
        self._faults = faults
        self._modules = modules
        self._holder = holder
        self._workers: dict[str, SystemWorker] = {}
        self._made = 0
        self._working = False
        self._running = False
        self._slept = timedelta(0)
        self._swept_ms = clock.now_ms()
        self._interrupted: BaseException | None = None
        self.began: Final[list[str]] = []
        """The job of each run, in the order in which they began."""
        self.errors: Final[dict[str, BaseException]] = {}
        """What the last run of each job raised."""
        clock.follow(advance=self.pass_time, sleep=self.sleep)

    def work(self, at_most: int, *, ran: int = 0) -> None:
        """Run what is due, until nothing is. The caller's patience has paid for `ran` runs already.

        Raises: NotDrained, when more than `at_most` runs are due; SettingsError.
        """
        if self._working:
            raise RemoteJobError("a task cannot run the system that runs it: let the test do it")
        self._working, self._slept = True, timedelta(0)
        try:
            self._work(at_most, ran)
        finally:
            self._working = False

    def _work(self, at_most: int, ran: int) -> None:
        last_run = len(self.began) + at_most
        messages_left = at_most * _MESSAGES_OF_A_RUN
        scheduled = False
        paused: set[str] = set()
        while True:
            queue = self._busy_queue(paused)
            if queue is None:
                if scheduled:
                    return
                self._schedule()
                scheduled = True
                continue
            if len(self.began) >= last_run or messages_left <= 0:
                raise NotDrained(
                    f"{ran + at_most} runs, and there is more to do: {self.unfinished()}"
                )
            if self._step(queue):
                scheduled = False
                messages_left -= 1
            else:
                paused.add(queue)

    def run_for(self, span: timedelta, at_most: int) -> None:
        """Let time pass, and run what becomes due at its time. Raises: as `work`."""
        end_ms = self._clock.now_ms() + span_ms(span)
        first = len(self.began)
        self.work(at_most)
        while (now := self._clock.now_ms()) < end_ms:
            next_ms = min(self._next_event_ms() or end_ms, end_ms)
            self._move(timedelta(milliseconds=next_ms - now))
            ran = len(self.began) - first
            self.work(max(0, at_most - ran), ran=min(ran, at_most))

    def pass_time(self, span: timedelta) -> None:
        """Move the time: nothing begins, and what runs or is held gets its heartbeats."""
        if not self._working:
            self._slept = timedelta(0)
        self._move(span)

    def sleep(self, span: timedelta) -> None:
        """A caller waits: outside of a run, the system works meanwhile.

        Raises: NotDrained, when it has waited for an hour and nothing ran.
        """
        slept = self._slept + span
        if slept > _LONGEST_IDLE:
            raise NotDrained(
                "nothing has run for an hour of the system's time, and something waits: "
                f"{self.unfinished()}; give wait() a timeout, or let time pass with run_for"
            )
        began = len(self.began)
        if self._working or not self._has_events_within(span):
            self._move(span)
        else:
            self.run_for(span, at_most=1000)
        self._slept = slept if len(self.began) == began else timedelta(0)

    def unfinished(self) -> str:
        """Which jobs have not ended, and why, in words."""
        jobs = [
            Job(record, self._installation)
            for record in listed(self._installation, queue=None, state=None, limit=1000, since=None)
            if not record.terminal
        ]
        lines = [f"job {job.id} ({job.task}, {job.state}): {job.why()}" for job in jobs[:_LISTED]]
        more = f", and {len(jobs) - _LISTED} more" if len(jobs) > _LISTED else ""
        return "; ".join(lines) + more if jobs else "no job is left"

    def _busy_queue(self, paused: Collection[str] = ()) -> str | None:
        """The first queue with a message to handle, except paused ones."""
        queues = (queue for queue in self._installation.queues if queue not in paused)
        return next(filter(self._messages.any_visible, queues), None)

    def _step(self, queue: str) -> bool:
        """Let a queue's worker handle a message. False if it takes none: its queue is
        stopped, or has spent its budget."""
        self._modules.check(queue)
        worker = self._workers.get(queue)
        if worker is None or worker.gone:
            self._made += 1
            worker = self._workers[queue] = SystemWorker(
                self._installation,
                self._installation.queues[queue],
                name=f"worker-{self._made}",
                signs=self._healthy,
                call=self._call,
            )
        handled = worker.step()
        interrupted, self._interrupted = self._interrupted, None
        if interrupted is not None:
            raise interrupted
        return handled

    def _call(self, worker: SystemWorker, run: Run) -> Any:
        self.began.append(run.job_id)
        self.errors.pop(run.job_id, None)
        self._running, self._slept = True, timedelta(0)
        try:
            with self._modules.environment(worker.queue):
                return call_observed(run, partial(self._reached, worker, run))
        except ProcessDeath:
            raise
        except BaseException as error:
            self.errors[run.job_id] = error
            if not isinstance(error, FAILS_JOBS):
                self._interrupted = error
            raise
        finally:
            self._running = False

    def _reached(self, worker: SystemWorker, run: Run, moment: Moment) -> None:
        for fault in self._faults.due(moment, task=run.record.task):
            match fault:
                case RunFault.KILL_WORKER:
                    worker.die(f"the test killed it at {moment.value!r}")
                case RunFault.RECLAIM_WORKER:
                    worker.gone = True
                    run.stop_signal.set(WorkerStopping("the worker's capacity was reclaimed"))
                case RunFault.LOSE_LEASE:
                    # frozen: no heartbeat until others may claim the job
                    self._clock.jump(run.lease_length + self._installation.skew + _BEAT)
                    worker.beat()
                case RunFault.CANCEL_JOB:
                    Job(run.record, self._installation).cancel()
                    self._move(run.lease_length / 2)

    def _move(self, span: timedelta) -> None:
        if not (self._running or self._holder.holding):
            self._clock.jump(span)
            return
        end_ms = self._clock.now_ms() + span_ms(span)
        while (left := end_ms - self._clock.now_ms()) > 0:
            self._clock.jump(min(_BEAT, timedelta(milliseconds=left)))
            for worker in self._living():
                worker.beat()
            self._holder.beat()

    def _living(self) -> list[SystemWorker]:
        return [worker for worker in self._workers.values() if not worker.gone]

    def _schedule(self) -> None:
        """What happens every minute, whatever is due: signs of life, the scheduler, the sweep."""
        for worker in self._living():
            worker.show()
        tick(self._scheduler)
        now = self._clock.now_ms()
        if now - self._swept_ms >= span_ms(SWEEP_PERIOD):
            self._swept_ms = now
            try:
                sweep(self._scheduler)
            except Exception:
                # as the function, which runs again in a few hours
                log.exception("not swept")

    def _has_events_within(self, span: timedelta) -> bool:
        if self._busy_queue() is not None:
            return True
        next_ms = self._next_event_ms()
        return next_ms is not None and next_ms <= self._clock.now_ms() + span_ms(span)

    def _next_event_ms(self) -> int | None:
        """When something becomes due next, after now."""
        now = self._clock.now_ms()
        # what is due and was not done, as in an outage, is tried again by the next tick
        return min(
            (at_ms if at_ms > now else now + span_ms(PERIOD) for at_ms in self._events()),
            default=None,
        )

    def _events(self) -> Iterator[int]:
        for queue in self._installation.queues:
            at_ms = self._messages.next_of_jobs_ms(queue)
            if at_ms is not None:
                yield at_ms
        for kind, offset in (
            # the tick sends a minute ahead, with a delay
            (Attention.WAITING, -PERIOD),
            (Attention.RUNNING, timedelta(0)),
            (Attention.OWED, GRACE),
        ):
            for shard in range(SHARDS):
                yield from (at_ms + span_ms(offset) for at_ms in self._first_mark(kind, shard))
        yield from self._first_mark(Attention.REPLACED, HEADS_SHARD)
        yield self._swept_ms + span_ms(SWEEP_PERIOD)
        if self._busy_queue() is not None:
            # of a queue that is paused: its worker looks again soon
            yield self._clock.now_ms() + span_ms(PERIOD)

    def _first_mark(self, kind: str, shard: int) -> Iterator[int]:
        marks = self._healthy.store.attention(kind, shard, until_ms=_FAR_MS)
        return (mark.at_ms for mark in islice(marks, 1))
