"""Runs jobs in child processes, kept warm for the next."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from remotejob.domain.errors import LeaseLost, ProcessDied, RunInterrupted, WorkerStopping
from remotejob.worker.completion import Completion
from remotejob.worker.executors.carried import raised_there
from remotejob.worker.executors.channel import Closed, Frame, Garbled
from remotejob.worker.executors.child_process import ChildProcess
from remotejob.worker.executors.environment import hide_this_process
from remotejob.worker.executors.options import Credentials, Process
from remotejob.worker.executors.program import ChildProgram
from remotejob.worker.executors.serving import Serving, run_said
from remotejob.worker.run import Run

log = logging.getLogger(__name__)


class Processes:
    """An `Executor` of child processes: as many as were used at a time, by what tasks ask for."""

    def __init__(self, program: ChildProgram) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._idle: dict[Process, list[ChildProcess]] = {}
        self._busy: set[ChildProcess] = set()
        self._closed = False

    def warm(self, options: Process) -> None:
        """Have a child ready for the next job."""
        with self._lock:
            if self._closed or self._live(options):
                return
            self._live(options).append(self._started(options))

    def run(self, run: Run) -> Completion:
        """Run a job in a child.

        Raises: what the task raised, by name; ProcessDied; RunInterrupted, where the child was
        killed because the run had to stop.
        """
        options = run.task.runs_in
        assert isinstance(options, Process)
        with self._child(run, options) as child:
            with _Killable(child, options.grace) as killable, run.runs_as(killable):
                try:
                    child.make_ready()
                    child.channel.send("run", **run_said(run))
                    frame = _answered(run, child)
                except (Closed, Garbled) as problem:
                    raise _why(run, child, problem) from None
            child.jobs += 1
        return _outcome(frame, options)

    def close(self, *, within: timedelta) -> None:
        """End all children: those at rest by themselves if they do in time, the others by force."""
        with self._lock:
            self._closed = True
            busy = list(self._busy)
            idle = [child for children in self._idle.values() for child in children]
            self._idle.clear()
        for child in busy:
            child.signal_kill()
        for child in idle:
            child.retire()
        end = time.monotonic() + within.total_seconds()
        for child in (*busy, *idle):
            if not child.ended_within(end - time.monotonic()):
                child.kill()

    @contextmanager
    def _child(self, run: Run, options: Process) -> Iterator[ChildProcess]:
        """A child for one job. It is kept for the next, unless what it did ended with an error
        other than the task's."""
        child = self._taken(run, options)
        before = child.jobs
        try:
            yield child
        finally:
            with self._lock:
                self._busy.discard(child)
                worn = options.max_jobs_per_child is not None and (
                    child.jobs >= options.max_jobs_per_child
                )
                kept = child.alive and not worn and not self._closed and child.jobs > before
                if kept:
                    self._live(options).append(child)
            if not kept:
                # one that has done its work ends by itself; any other is in the midst of something
                if child.jobs == before:
                    child.signal_kill()
                child.retire()
                self._replace(options)

    def _replace(self, options: Process) -> None:
        try:
            self.warm(options)
        except OSError as problem:
            # the job that has just ended is not to fail for that; the next one tries again
            log.warning("no process started in the place of one that ended: %s", problem)

    def _taken(self, run: Run, options: Process) -> ChildProcess:
        with self._lock:
            if self._closed:
                run.stop(WorkerStopping("the worker is stopping"))
                raise WorkerStopping("the worker is stopping")
            live = self._live(options)
            child = live.pop() if live else self._started(options)
            self._busy.add(child)
            return child

    def _live(self, options: Process) -> list[ChildProcess]:
        """Those at rest, without any that has died there."""
        idle = self._idle.setdefault(options, [])
        for child in [child for child in idle if not child.alive]:
            idle.remove(child)
            child.retire()
        return idle

    def _started(self, options: Process) -> ChildProcess:
        if options.credentials is Credentials.NONE:
            # before there is a child that could look
            hide_this_process()
        return ChildProcess(options, self._program)


class _Killable:
    """The child as the run's: told to stop, it is given a while, and then killed."""

    def __init__(self, child: ChildProcess, grace: timedelta) -> None:
        self._child = child
        self._grace: Final = grace.total_seconds()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._over = threading.Event()

    def stopping(self, reason: RunInterrupted) -> None:
        with self._lock:
            if self._over.is_set():
                return
            # a lost lease leaves no time: another run may have begun
            if isinstance(reason, LeaseLost) or not self._grace:
                self._child.signal_kill()
            elif self._timer is None:
                self._timer = threading.Timer(self._grace, self._signal_kill)
                self._timer.daemon = True
                self._timer.start()

    def kill(self, *, grace: timedelta) -> bool:
        if self._over.wait(min(self._grace, grace.total_seconds())):
            return True
        return not self._signal_kill() or self._child.kill()

    def _signal_kill(self) -> bool:
        with self._lock:
            # by now it may be running another job
            if self._over.is_set():
                return False
            self._child.signal_kill()
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._over.set()
            if self._timer is not None:
                self._timer.cancel()


def _answered(run: Run, child: ChildProcess) -> Frame:
    """Answer what the task asks until it has ended; what the child says then."""
    with Serving(run) as serving:
        while True:
            frame = child.channel.receive()
            if serving.answers(frame):
                serving.answer(frame, child.channel)
                continue
            if frame.file is not None:
                os.close(frame.file)
            if frame.kind not in ("returned", "failed"):
                raise Garbled(f"{frame.kind[:100]!r}, which is no answer")
            return frame


def _why(run: Run, child: ChildProcess, problem: Closed | Garbled) -> BaseException:
    """Why there will be no answer."""
    if isinstance(problem, Garbled):
        child.kill()
        return _garbled(problem)
    died = child.died()
    return run.stopped or died


def _outcome(frame: Frame, options: Process) -> Completion:
    """Raises: what the child says that the task raised; ProcessDied, when that makes no sense."""
    try:
        if frame.kind == "returned":
            delay = timedelta(milliseconds=int(frame.head["delay_dependents_ms"]))
            return Completion(result=json.loads(frame.body), delay_dependents=delay)
        said = frame.head["error"]
        limited = options.memory_mib is not None and said["memory"] is True
        remark = f"its limit is memory_mib={options.memory_mib}" if limited else None
        error = raised_there(said, remark=remark)
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise _garbled(problem) from None
    raise error


def _garbled(problem: BaseException) -> ProcessDied:
    return ProcessDied(f"the process of the task said what cannot be understood: {problem}")
