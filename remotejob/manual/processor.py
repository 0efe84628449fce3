"""Calls a function with jobs as they come: meteor-job's JobQueue."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from remotejob.domain.errors import AccessProblem, InvalidData
from remotejob.domain.urgency import Urgency
from remotejob.manual.holder import JobHolder
from remotejob.manual.options import Processing, Taking
from remotejob.manual.taken_job import TakenJob
from remotejob.tasks.completion import Completion

log = logging.getLogger(__name__)

Function = Callable[[Any], Any]
"""Takes a `TakenJob`, or a list of them where `payload` is beyond one."""


class Processor:
    """Takes a queue's jobs and calls a function with them, until it is shut down.

    What the function returns is the result of the jobs it has not ended itself; what it raises
    fails them. It begins at once; as a context manager it is shut down when the block ends.

    When jobs cannot be taken, it logs so and tries again, with one exception: what these
    credentials may not do they may not do later. Then it shuts itself down, as `problem` says, and
    `shutdown`, or the end of the block, raises that.

    Source: meteor-job, `JobQueue`. There too a new one runs, whatever its README says.
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
        """`taking` says which jobs; how many at a time, and how long they may be silent, follows
        from `processing`."""
        self._holder = holder
        self._queue = queue
        self._function = function
        self._taking = taking
        self._processing = processing
        self._changed = threading.Condition()
        self._waiting: deque[TakenJob] = deque()
        self._running: dict[threading.Thread, list[TakenJob]] = {}
        self._paused = False
        self._asked = True
        self._taken_all = False
        self._urgency: Urgency | None = None
        self._problem: AccessProblem | None = None
        self._getter = self._thread("get", self._get)
        self._callers = [
            self._thread(f"call-{number}", self._call) for number in range(processing.concurrency)
        ]
        for thread in (self._getter, *self._callers):
            thread.start()

    def pause(self) -> Processor:
        """Take no jobs and begin none, until resumed. Those that have begun go on."""
        with self._changed:
            self._paused = True
            self._changed.notify_all()
        return self

    def resume(self) -> Processor:
        """Go on after `pause`."""
        with self._changed:
            self._paused = False
            self._asked = True
            self._changed.notify_all()
        return self

    def trigger(self) -> Processor:
        """Look for jobs now, without waiting for `poll_interval`."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()
        return self

    def length(self) -> int:
        """Jobs taken that have not begun."""
        with self._changed:
            return len(self._waiting)

    def running(self) -> int:
        """Calls of the function that have not returned."""
        with self._changed:
            return len(self._running)

    def full(self) -> bool:
        """Whether as many calls are running as may."""
        return self.running() >= self._processing.concurrency

    def idle(self) -> bool:
        """Whether it has no job at all."""
        with self._changed:
            return not self._waiting and not self._running

    @property
    def problem(self) -> AccessProblem | None:
        """Why it shut itself down, if it did."""
        with self._changed:
            return self._problem

    def shutdown(self, urgency: Urgency = Urgency.NORMAL) -> None:
        """Take no more jobs, see to those it has, and return when that is done.

        HARD waits for no call: the jobs are given back, and whoever still works on one learns it
        at the next call of the job. From within the function, nothing is waited for, and nothing
        raised. A second, more urgent shutdown hurries the first.

        Raises: AccessProblem, when it had shut itself down for that, after everything else.
        """
        self._shut_down(urgency)
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
        # the block's own error is what its caller asks for
        error.add_note(f"the processor had shut itself down: {problem}")

    def __repr__(self) -> str:
        with self._changed:
            begun, waiting = len(self._running), len(self._waiting)
            how = "shut down" if self._urgency else "paused" if self._paused else "working"
        return f"<Processor of queue {self._queue}, {how}: {begun} running, {waiting} waiting>"

    def _get(self) -> None:
        """Take jobs while there is room: when asked, when a call has returned, and in between."""
        while (room := self._room()) is not None:
            try:
                taken = self._holder.take(self._queue, self._taking.of(room))
            except AccessProblem as problem:
                log.error("no more jobs of queue %r: %s", self._queue, problem)  # noqa: TRY400
                with self._changed:
                    self._problem = problem
                    self._urgency = self._urgency or Urgency.NORMAL
                    self._changed.notify_all()
                break
            except Exception as problem:  # noqa: BLE001 (whatever it is, try again later)
                log.error("cannot take jobs of queue %r: %s", self._queue, problem)  # noqa: TRY400
                taken = []
            with self._changed:
                self._waiting.extend(taken)
                self._changed.notify_all()
                if len(taken) < room:
                    self._changed.wait_for(
                        lambda: self._asked or self._urgency is not None,
                        timeout=self._processing.poll_interval.total_seconds(),
                    )
        with self._changed:
            self._taken_all = True
            self._changed.notify_all()
        # taken while somebody shut it down
        if self._urgency is not Urgency.SOFT:
            self._give_back_waiting()

    def _room(self) -> int | None:
        """Wait until there is room for jobs, and say how much; None once shut down."""
        with self._changed:
            while self._urgency is None:
                held = len(self._waiting) + len(self._running) * self._processing.payload
                room = 0 if self._paused else self._processing.most - held
                if room > 0:
                    self._asked = False
                    return room
                self._changed.wait()
            return None

    def _call(self) -> None:
        while jobs := self._next():
            self._work(jobs)
            with self._changed:
                del self._running[threading.current_thread()]
                self._asked = True
                self._changed.notify_all()

    def _next(self) -> list[TakenJob]:
        """Wait for jobs to begin with; none once shut down."""
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
                if soft and self._taken_all:
                    return []
                self._changed.wait()

    def _work(self, jobs: list[TakenJob]) -> None:
        for job in jobs:
            self._holder.watch(job, self._processing.work_timeout)
        try:
            result = self._function(jobs[0] if self._processing.payload == 1 else jobs)
        except BaseException as error:  # noqa: BLE001 (whatever it raises fails it, not us)
            for job in jobs:
                self._fail(job, error)
            return
        for job in jobs:
            if not job.ended:
                self._complete(job, result)

    def _complete(self, job: TakenJob, result: Any) -> None:
        completion = result if isinstance(result, Completion) else Completion(result=result)
        try:
            job.done(completion.result, delay_dependents=completion.delay_dependents)
        except InvalidData as refusal:
            self._fail(job, refusal)
        except Exception:
            log.exception("job not completed", extra=job.run.context.fields)

    def _fail(self, job: TakenJob, error: BaseException) -> None:
        try:
            self._holder.fail(job.run, error)
        except Exception:
            # one that cannot be failed holds back no other; its lease will end
            log.exception("job not failed", extra=job.run.context.fields)

    def _give_back_waiting(self) -> None:
        with self._changed:
            waiting = list(self._waiting)
            self._waiting.clear()
        self._give_back(waiting)

    def _give_back(self, jobs: list[TakenJob]) -> None:
        for job in jobs:
            try:
                self._holder.give_back(job.run, "the processor is shut down")
            except Exception:
                # one that cannot be given back holds back no other; its lease will end
                log.exception("job not given back", extra=job.run.context.fields)

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        # daemons: a function that never returns must not keep the process from exiting
        return threading.Thread(target=target, name=f"process-{name}", daemon=True)
