"""The job holder: claims the jobs that a process takes, extends their leases, and ends them."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from remotejob.domain.errors import JobCancelled, LeaseLost, RunInterrupted, TimedOut
from remotejob.domain.priority import Lane
from remotejob.domain.record import JobRecord
from remotejob.jobs.commands import commands
from remotejob.jobs.messaging.messages import BadMessage, Pending
from remotejob.manual.options import Taking
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Address, Channel, Installation, Received
from remotejob.tasks.completion import Completion
from remotejob.tasks.running_job import RunningJob
from remotejob.tasks.task import Task
from remotejob.worker.background import Background, BackgroundThreads, Inline
from remotejob.worker.lifecycle.stopped_queue import SwitchWatch
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.messages.heartbeats import Heartbeats
from remotejob.worker.messages.settlements import Hide, Settlement
from remotejob.worker.messages.settler import Settler
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

_NO_WAIT: Final = timedelta(0)
_LOOK: Final = timedelta(seconds=1)
"""How long to poll one lane before the next; a job may have to wait for the two other lanes."""

_MOST_LOOKED_AT: Final = 100
"""Messages to receive in one call, including those of other tasks."""

_LONGEST_PASS: Final = timedelta(seconds=30)
_RECEIVES_OF_ONE: Final = 200
"""After so many receives, replace a message: SQS gives up on one that is received too often."""

_TICK: Final = timedelta(seconds=1)

Start = Callable[[Callable[[], None]], None]


def _start_thread(function: Callable[[], None]) -> None:
    # a daemon: jobs that nobody ends must not keep the process from exiting
    threading.Thread(target=function, name="job-holder", daemon=True).start()


def _no_function(job: RunningJob) -> None:
    """Stands in for the task's function: the caller of `take` does the work."""


@dataclass(slots=True)
class _Held:
    job: TakenJob
    until_ended: ExitStack
    work_timeout: timedelta | None


class JobHolder:
    """The jobs that one client holds. Safe across threads."""

    def __init__(
        self,
        installation: Installation,
        *,
        start: Start = _start_thread,
        background: Background | None = None,
    ) -> None:
        """`start` runs the loop of heartbeats on a thread; a test calls `beat` instead.
        `background` makes its requests; default threads, or the calling thread if `start` is given.
        """
        tasks = {name for queue in installation.queues.values() for name in queue.tasks}
        self._installation = installation
        self._start = start
        self._runs = InFlight()
        self._handler = MessageHandler(
            installation,
            {name: Task(name=name, function=_no_function) for name in tasks},
            worker=f"{socket.gethostname()}.{os.getpid()}",
            runs=self._runs,
            # a caller that always holds some job would never get one that runs alone
            alone=lambda: True,
        )
        if background is None:
            threads = BackgroundThreads(installation.clock, name="job-holder-background")
            background = threads if start is _start_thread else Inline()
        self._background = background
        self._heartbeats = Heartbeats(
            installation, self._handler, self._runs, background=background
        )
        self._one_beat = threading.Lock()
        self._changed = threading.Condition()
        self._held: dict[str, _Held] = {}
        self._beating = False
        self._switches = {name: SwitchWatch(installation, name) for name in installation.queues}

    def stopped(self, queue: str) -> str | None:
        """Why no job of a queue may begin now, in words; None while it is not stopped. It reads
        the queue's switch about once a minute."""
        switch = self._switches[queue]
        switch.read_if_due(lambda read: read())
        return switch.shortage

    def take(self, queue: str, taking: Taking) -> list[TakenJob]:
        """Take jobs, from the high lane first: up to `taking.max_jobs`, perhaps none. Of a queue
        that is stopped it takes none, though it waits for its start as for jobs."""
        taken: list[TakenJob] = []
        try:
            self._fill(taken, queue, taking)
        except (KeyboardInterrupt, SystemExit):
            for job in taken:
                # nobody was given it
                job.run.wait_to_begin()
                self.give_back(job.run, "the program that took it is ending")
            raise
        except Exception as problem:
            if not taken:
                raise
            # return the jobs taken so far: only the caller can end them
            log.warning("took fewer jobs than there may be: %s", problem)
        return taken

    @property
    def holding(self) -> bool:
        """Whether it holds any job."""
        with self._changed:
            return bool(self._held)

    def watch(self, job: TakenJob, work_timeout: timedelta | None) -> None:
        """Fail the job once it gives no sign of life for so long, from now on."""
        job.stir()
        with self._changed:
            held = self._held.get(job.run.run_id)
            if held is not None:
                held.work_timeout = work_timeout

    def complete(self, run: Run, completion: Completion) -> Settlement | None:
        """End a run with its result, and settle its message.

        Return how it was settled, or None if another thread had ended the run. The next three
        methods return the same.
        """
        return self._end(run, lambda: self._handler.complete(run, completion))

    def fail(self, run: Run, error: BaseException) -> Settlement | None:
        return self._end(run, lambda: self._handler.fail(run, error))

    def give_back(self, run: Run, reason: str) -> Settlement | None:
        return self._end(run, lambda: self._handler.give_back(run, reason))

    def cancel(self, run: Run, *, antecedents: bool) -> JobRecord:
        """Cancel the job of a run, and end the run, so that nothing waits for its lease."""
        record = commands.cancel(run.job_id, self._installation, antecedents=antecedents)
        self.end_run(run, JobCancelled(f"job {run.job_id} was cancelled"))
        return record

    def end_run(self, run: Run, reason: RunInterrupted) -> Settlement | None:
        return self._end(run, lambda: self._handler.end_run(run, reason))

    def confirm(self, run: Run) -> bool:
        """Extend the lease of a run now; return whether it was extended."""
        with self._one_beat:
            return self._heartbeats.beat_for(run)

    def beat(self) -> None:
        """Extend the leases that are due, and end the runs whose time is over."""
        with self._one_beat:
            self._heartbeats.beat()
        with self._changed:
            holding = list(self._held.values())
        for held in holding:
            reason = self._reason_to_end(held)
            if reason is not None:
                run = held.job.run
                self._background.do(("over", run.run_id), partial(self._try_to_end, run, reason))

    def _try_to_end(self, run: Run, reason: RunInterrupted) -> None:
        try:
            self.end_run(run, reason)
        except Exception:
            # go on with the others; this one's lease will end
            log.exception("run not ended", extra=run.context.fields)

    def _fill(self, taken: list[TakenJob], queue: str, taking: Taking) -> None:
        if self.stopped(queue) is None:
            self._look_once(taken, queue, taking)
        left = taking.wait
        for lane in itertools.cycle(Lane):
            if taken or left <= _NO_WAIT:
                break
            if self.stopped(queue) is not None:
                self._installation.clock.sleep(min(left, _LOOK))
                left -= _LOOK
                continue
            # count only empty polls: a message of another task ends a poll early
            with self._settling() as settler:
                received = self._look(
                    taken, queue, lane, taking, wait=min(left, _LOOK), settler=settler
                )
            if not received:
                left -= _LOOK
        if taken and taking.wait:
            self._look_once(taken, queue, taking)

    def _look_once(self, taken: list[TakenJob], queue: str, taking: Taking) -> None:
        looked = 0
        # settle at the end: messages passed back earlier would only be received again
        with self._settling() as settler:
            for lane in Lane:
                while looked < _MOST_LOOKED_AT and len(taken) < taking.max_jobs:
                    received = self._look(
                        taken, queue, lane, taking, wait=_NO_WAIT, settler=settler
                    )
                    if not received:
                        break
                    looked += received

    @contextmanager
    def _settling(self) -> Iterator[Settler]:
        settler = Settler(self._installation)
        try:
            yield settler
        except Exception:
            settler.flush()
            raise
        settler.flush()

    def _look(
        self,
        taken: list[TakenJob],
        queue: str,
        lane: Lane,
        taking: Taking,
        *,
        wait: timedelta,
        settler: Settler,
    ) -> int:
        """Receive from a lane and take the wanted jobs; return the number of messages received."""
        messages = self._installation.messages
        room = taking.max_jobs - len(taken)
        received = messages.receive(
            Address(queue, Channel(lane.value)),
            # among messages of other tasks, full batches find the wanted ones sooner
            limit=min(room, messages.capabilities.batch)
            if taking.all_tasks
            else messages.capabilities.batch,
            wait=wait,
            hidden=self._installation.lease,
        )
        for number, message in enumerate(received):
            if len(taken) == taking.max_jobs:
                settler.add(Hide(message=message, span=_NO_WAIT))
                continue
            try:
                begun = self._begin(message, taking.tasks)
            except Exception:
                for left in received[number:]:
                    settler.add(Hide(message=left, span=_NO_WAIT))
                raise
            if isinstance(begun, Run):
                taken.append(self._hold(begun, taking.work_timeout))
            else:
                settler.add(begun)
        return len(received)

    def _begin(self, message: Received, tasks: frozenset[str]) -> Run | Settlement:
        try:
            pending = Pending.read(message.body)
        except BadMessage:
            return self._handler.begin(message)
        queue = self._installation.queues.get(message.address.queue)
        known = queue is not None and pending.task in queue.tasks
        if pending.task in tasks or not known:
            return self._handler.begin(message)
        if message.receives >= _RECEIVES_OF_ONE:
            return self._handler.pass_on(message, pending)
        return _pass_back(message)

    def _hold(self, run: Run, work_timeout: timedelta | None) -> TakenJob:
        until_ended = ExitStack()
        until_ended.enter_context(self._runs.holding(run))
        until_ended.enter_context(run.workspace.cleaned())
        job = TakenJob(run, self)
        with self._changed:
            self._held[run.run_id] = _Held(job, until_ended, work_timeout)
            begins, self._beating = not self._beating, True
        if begins:
            self._start(self._beat_while_holding)
        return job

    def _end(self, run: Run, ending: Callable[[], Settlement | None]) -> Settlement | None:
        try:
            settlement = ending()
        finally:
            self._forget(run)
        if settlement is not None:
            # not a shared settler: another thread might still be flushing when this returns
            settler = Settler(self._installation)
            settler.add(settlement)
            settler.flush()
        return settlement

    def _forget(self, run: Run) -> None:
        with self._changed:
            held = self._held.pop(run.run_id, None)
            self._changed.notify_all()
        if held is not None:
            held.until_ended.close()

    def _reason_to_end(self, held: _Held) -> RunInterrupted | None:
        """Why the run must be ended from here, if it must."""
        run, clock = held.job.run, self._installation.clock
        stopped = run.stop_signal.reason
        if isinstance(stopped, LeaseLost | JobCancelled):
            # its code may never call the job again, so it would never notice
            return stopped if clock.monotonic() >= run.lease.ends else None
        timeout = held.work_timeout
        if timeout is None or clock.monotonic() - held.job.stirred < timeout.total_seconds():
            return None
        return TimedOut(
            f"no sign of life from the code that took the job for {timeout} (work_timeout)"
        )

    def _beat_while_holding(self) -> None:
        pause = min(_TICK, self._heartbeats.interval / 2).total_seconds()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._held, timeout=pause)
                if not self._held and not self._handler.lost_leases.any:
                    self._beating = False
                    return
            try:
                self.beat()
            except Exception:
                log.exception("heartbeat failed; the next one tries again")


def _pass_back(message: Received) -> Settlement:
    """Give back a message of another task: at once the first time, then later and later.

    So a process that has the task receives it, rather than this one again.
    """
    if message.receives == 1:
        return Hide(message=message, span=_NO_WAIT)
    span = timedelta(seconds=2 ** min(message.receives - 2, 10))
    return Hide(message=message, span=min(span, _LONGEST_PASS))
