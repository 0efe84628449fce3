"""The processor: takes jobs and calls a function with them, like meteor-job's JobQueue."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

from remotejob.domain.argument_checks import check_choice, is_a
from remotejob.domain.chain import Link, within
from remotejob.domain.errors import AccessProblem, RunInterrupted
from remotejob.domain.urgency import Urgency
from remotejob.jobs.coordination.queue_switch import READ_EVERY
from remotejob.manual.holder import JobHolder
from remotejob.manual.options import Processing, Taking
from remotejob.manual.taken_job import TakenJob
from remotejob.tasks.completion import Completion
from remotejob.tasks.forked import OnlyHere
from remotejob.worker.executors.in_thread import call
from remotejob.worker.runs.depth import link_of

log = logging.getLogger(__name__)

_SHUT_DOWN: Final = "the processor is shut down"
_STOPPED: Final = "its queue is stopped"

Function = Callable[[Any], Any]
"""Takes a `TakenJob`, or a list of them if `payload` is more than one."""


class Processor:
    """Takes a queue's jobs and calls a function with them, until it is shut down.

    The function's return value becomes the result of the jobs that it has not ended itself; an
    error it raises fails them. The processor starts at once. As a context manager, it is shut down
    when the block ends.

    If jobs cannot be taken, it logs the error and tries again. If the credentials do not permit it,
    it shuts itself down instead, sets `problem`, and raises it from `shutdown` or at the end of the
    block.

    While its queue is stopped it takes and begins no jobs, and gives back those that have not
    begun.

    Source: meteor-job, `JobQueue`. A new one runs at once there, too, whatever its README says.
    """

    def __init__(
        self,
        holder: JobHolder,
        queue: str,
        function: Function,
        *,
        taking: Taking,
        processing: Processing,
    ) -> None:
        """`taking` defines which jobs; `processing` how many, and how long they may be silent."""
        self._holder = holder
        self._queue = queue
        self._function = function
        self._taking = taking
        self._processing = processing
        self._changed = threading.Condition()
        self._waiting: deque[TakenJob] = deque()
        self._running: dict[threading.Thread, list[TakenJob]] = {}
        self._paused = False
        self._poll_now = True
        self._taking_ended = False
        self._urgency: Urgency | None = None
        self._problem: AccessProblem | None = None
        self._getter = self._thread("get", self._get)
        self._callers = [
            self._thread(f"call-{number}", self._call) for number in range(processing.concurrency)
        ]
        for thread in (self._getter, *self._callers):
            thread.start()

    def pause(self) -> Processor:
        """Take and begin no jobs until resumed. Running jobs go on."""
        with self._changed:
            self._paused = True
            self._changed.notify_all()
        return self

    def resume(self) -> Processor:
        """Go on after `pause`."""
        with self._changed:
            self._paused = False
            self._poll_now = True
            self._changed.notify_all()
        return self

    def trigger(self) -> Processor:
        """Poll for jobs now, without waiting for `poll_interval`."""
        with self._changed:
            self._poll_now = True
            self._changed.notify_all()
        return self

    def length(self) -> int:
        """The number of jobs that were taken and have not begun."""
        with self._changed:
            return len(self._waiting)

    def running(self) -> int:
        """The number of calls of the function that have not returned."""
        with self._changed:
            return len(self._running)

    def full(self) -> bool:
        """Whether no further call can run now."""
        return self.running() >= self._processing.concurrency

    def idle(self) -> bool:
        """Whether it has no jobs."""
        with self._changed:
            return not self._waiting and not self._running

    @property
    def problem(self) -> AccessProblem | None:
        """Why it shut itself down, if it did."""
        with self._changed:
            return self._problem

    def shutdown(self, urgency: Urgency | str = Urgency.NORMAL) -> None:
        """Take no more jobs, and return when it has none left.

        SOFT finishes all jobs that it has taken. NORMAL gives back those that have not begun. HARD
        gives back all without waiting for the function, which learns it at its next call of the
        job. Called from within the function, this neither waits nor raises. A second, more urgent
        shutdown hurries the first.

        Raises: InvalidName, when there is no such urgency; AccessProblem, at the end, if that was
        why it shut itself down.
        """
        self._shut_down(check_choice("urgency=", urgency, Urgency))
        problem = self.problem
        if problem is not None and not self._inside():
            raise problem

    def _shut_down(self, urgency: Urgency) -> None:
        with self._changed:
            self._urgency = max(self._urgency or urgency, urgency, key=list(Urgency).index)
            self._changed.notify_all()
        inside = self._inside()
        if not inside:
            self._getter.join()
        if urgency is not Urgency.SOFT:
            self._give_back_waiting()
        if urgency is Urgency.HARD:
            with self._changed:
                running = [job for jobs in self._running.values() for job in jobs]
            self._give_back(running)
        elif not inside:
            for thread in self._callers:
                thread.join()

    def _inside(self) -> bool:
        return threading.current_thread() in (self._getter, *self._callers)

    def __enter__(self) -> Processor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shut_down(Urgency.NORMAL)
        problem = self.problem
        if problem is None or error is problem:
            return
        if error is None:
            raise problem
        # let the block's own error go on
        error.add_note(f"the processor had shut itself down: {problem}")

    def __repr__(self) -> str:
        with self._changed:
            running, waiting = len(self._running), len(self._waiting)
            state = "shut down" if self._urgency else "paused" if self._paused else "working"
        return f"<Processor of queue {self._queue}, {state}: {running} running, {waiting} waiting>"

    def _get(self) -> None:
        """Take jobs while there is room: on request, when a call has returned, and periodically."""
        while (room := self._room()) is not None:
            if self._holder.stopped(self._queue) is not None:
                self._give_back_waiting(_STOPPED)
            try:
                taken = self._holder.take(self._queue, self._taking.of(room)) if room else []
            except AccessProblem as problem:
                log.error("stop taking jobs of queue %r: %s", self._queue, problem)  # noqa: TRY400
                with self._changed:
                    self._problem = problem
                    self._urgency = self._urgency or Urgency.NORMAL
                    self._changed.notify_all()
                break
            except Exception as problem:  # noqa: BLE001 (try again later)
                log.error("cannot take jobs of queue %r: %s", self._queue, problem)  # noqa: TRY400
                taken = []
            for job in taken:
                job.run.wait_to_begin()
            with self._changed:
                self._waiting.extend(taken)
                self._changed.notify_all()
                if len(taken) < room:
                    self._changed.wait_for(
                        lambda: self._poll_now or self._urgency is not None,
                        timeout=self._processing.poll_interval.total_seconds(),
                    )
        with self._changed:
            self._taking_ended = True
            self._changed.notify_all()
        # jobs that were taken during the shutdown
        if self._urgency is not Urgency.SOFT:
            self._give_back_waiting()

    def _room(self) -> int | None:
        """Wait until there is room for jobs; return how much, or None once shut down. While
        jobs wait here, return 0 each time something changes, and after a while."""
        with self._changed:
            while self._urgency is None:
                held = len(self._waiting) + len(self._running) * self._processing.payload
                room = 0 if self._paused else self._processing.most - held
                if room > 0:
                    self._poll_now = False
                    return room
                # nobody else would notice that its queue is stopped while all calls last
                self._changed.wait(timeout=READ_EVERY.total_seconds() if self._waiting else None)
                if self._waiting:
                    return 0
            return None

    def _call(self) -> None:
        while jobs := self._next():
            if self._holder.stopped(self._queue) is None:
                self._work(jobs)
            else:
                self._give_back(jobs, _STOPPED)
            with self._changed:
                del self._running[threading.current_thread()]
                self._poll_now = True
                self._changed.notify_all()

    def _next(self) -> list[TakenJob]:
        """Wait for jobs to begin; return none once shut down."""
        with self._changed:
            while True:
                soft = self._urgency is Urgency.SOFT
                if self._urgency is not None and not soft:
                    return []
                if self._waiting and (soft or not self._paused):
                    count = min(self._processing.payload, len(self._waiting))
                    jobs = [self._waiting.popleft() for _ in range(count)]
                    self._running[threading.current_thread()] = jobs
                    return jobs
                if soft and self._taking_ended:
                    return []
                self._changed.wait()

    def _work(self, taken: list[TakenJob]) -> None:
        jobs = [job for job in taken if _begins(job)]
        if not jobs:
            return
        for job in jobs:
            self._holder.watch(job, self._processing.work_timeout)
        try:
            with OnlyHere(), within(_link_of(jobs)):
                given = jobs[0] if self._processing.payload == 1 else jobs
                result = call(self._function, given)
        except BaseException as error:  # noqa: BLE001 (any error fails the jobs, not us)
            for job in jobs:
                self._fail(job, error)
            return
        for job in jobs:
            if not job.ended:
                self._complete(job, result)

    def _complete(self, job: TakenJob, result: Any) -> None:
        completion = result if is_a(result, Completion) else Completion(result=result)
        try:
            job.done(completion.result, delay_dependents=completion.delay_dependents)
        except BaseException as error:
            if not job.ended:
                # a result that cannot be kept is a failure, whatever its own code raised
                self._fail(job, error)
                return
            log.exception("job not completed", extra=job.run.context.fields)

    def _fail(self, job: TakenJob, error: BaseException) -> None:
        try:
            self._holder.fail(job.run, error)
        except Exception:
            # go on with the others; this one's lease will end
            log.exception("job not failed", extra=job.run.context.fields)

    def _give_back_waiting(self, why: str = _SHUT_DOWN) -> None:
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
        self._give_back(waiting, why)

    def _give_back(self, jobs: list[TakenJob], why: str = _SHUT_DOWN) -> None:
        for job in jobs:
            try:
                self._holder.give_back(job.run, why)
            except Exception:
                # go on with the others; this one's lease will end
                log.exception("job not given back", extra=job.run.context.fields)

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        # daemons: a function that never returns must not keep the process from exiting
        return threading.Thread(target=target, name=f"process-{name}", daemon=True)


def _begins(job: TakenJob) -> bool:
    """Whether the function may have the job: not if it was given back while it waited."""
    try:
        job.run.begin()
    except RunInterrupted:
        return False
    return True


def _link_of(jobs: list[TakenJob]) -> Link:
    """What the function makes may come of any of its jobs: the deepest counts."""
    links = [link_of(job.run.record, job.run.installation) for job in jobs]
    return replace(links[0], depth=lambda: max(link.depth() for link in links))
