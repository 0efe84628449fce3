"""The pool of child processes: runs jobs in them, and keeps them warm for the next jobs."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from remotejob.domain.errors import (
    InvalidData,
    JobCancelled,
    LeaseLost,
    ProcessDied,
    RunInterrupted,
    TimedOut,
    WorkerStopping,
)
from remotejob.domain.text import cut, printable
from remotejob.outages import pause_after
from remotejob.tasks.completion import Completion
from remotejob.tasks.runs_in import Credentials, Process
from remotejob.worker.executors import stack_note
from remotejob.worker.executors.processes.channel import Closed, Frame, Garbled
from remotejob.worker.executors.processes.child_process import ChildProcess
from remotejob.worker.executors.processes.environment import hide_this_process
from remotejob.worker.executors.processes.program import ChildProgram, NotStarted
from remotejob.worker.executors.processes.run_server import RunServer, run_for_child
from remotejob.worker.executors.processes.transferred_errors import error_of_child
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

_MOST_VALUES: Final = 2_000_000
_SURELY_SMALL: Final = 1024 * 1024
"""Bytes of a result, of which each value may take 64 bytes and more."""

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds to wait before the next try of a job for which no process could be started."""

_BEFORE_THE_LEASE_ENDS: Final = 0.5
"""Seconds."""


class ProcessPool:
    """An `Executor` that runs jobs in child processes.

    For each kind of process, it keeps as many as were in use at one time.
    """

    def __init__(self, program: ChildProgram) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._idle: dict[Process, list[ChildProcess]] = {}
        self._busy: set[ChildProcess] = set()
        self._closed = False
        self._failures = 0
        """Processes that could not be started, in a row."""

    def warm(self, options: Process) -> None:
        """Start a child for the next job, if none is idle and the system has room."""
        with self._lock:
            if self._closed or self._live(options):
                return
            try:
                self._live(options).append(self._start(options))
            except OSError as problem:
                # no job needs it yet; the next one tries again
                log.warning("no process started for the next job: %s", problem)

    def run(self, run: Run) -> Completion:
        """Run a job in a child.

        Raises: an error with the name of the task's; ProcessDied; RunInterrupted, when the child
        was killed because the run had to stop; NotStarted, when no child could be started: the run
        is stopped for that reason.
        """
        options = run.task.runs_in
        assert isinstance(options, Process)
        with self._child(run, options) as child:
            with (
                child.output.of_run(run.log_fields),
                _Killable(child, run, options.grace) as killable,
                run.stop_signal.reaches(killable),
            ):
                try:
                    child.make_ready()
                    child.begin()
                    run.begin()
                    child.channel.send("run", **run_for_child(run))
                    frame = _serve(run, child)
                except (Closed, Garbled) as problem:
                    raise _reason(run, child, problem) from None
            _log_left(run, frame)
            if frame.head.get("last") is not True:
                child.jobs += 1
        return _outcome(run, frame, options)

    def close(self, *, within: timedelta) -> None:
        """End all children: kill the busy ones, and the idle ones that do not end in time."""
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
        """A child for one job. It is kept for the next, unless it failed other than by an error of
        the task."""
        child = self._take(run, options)
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
                # a child whose job has ended will end by itself; any other is still busy
                if child.jobs == before:
                    child.signal_kill()
                child.retire()
                self.warm(options)

    def _take(self, run: Run, options: Process) -> ChildProcess:
        with self._lock:
            if self._closed:
                run.stop_signal.set(WorkerStopping("the worker is stopping"))
                raise WorkerStopping("the worker is stopping")
            live = self._live(options)
            try:
                child = live.pop() if live else self._start(options)
            except OSError as problem:
                reason = self._not_started(problem)
            else:
                self._busy.add(child)
                return child
        run.stop_signal.set(reason)
        raise reason

    def _not_started(self, problem: OSError) -> NotStarted:
        self._failures += 1
        pause = pause_after(self._failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        reason = NotStarted(problem, pause=timedelta(seconds=pause))
        reason.__cause__ = problem
        return reason

    def _live(self, options: Process) -> list[ChildProcess]:
        """The idle children that are alive."""
        idle = self._idle.setdefault(options, [])
        for child in [child for child in idle if not child.alive]:
            idle.remove(child)
            child.retire()
        return idle

    def _start(self, options: Process) -> ChildProcess:
        if options.credentials is Credentials.NONE:
            # before a child exists that could read our memory
            hide_this_process()
        child = ChildProcess(options, self._program)
        self._failures = 0
        return child


class _Killable:
    """Kills the child some time after its run must stop."""

    def __init__(self, child: ChildProcess, run: Run, grace: timedelta) -> None:
        self._child = child
        self._run = run
        self._grace: Final = grace.total_seconds()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._over = threading.Event()

    def stopping(self, reason: RunInterrupted) -> None:
        with self._lock:
            if self._over.is_set():
                return
            grace = self._grace_for(reason)
            if grace <= 0:
                self._child.signal_kill()
            elif self._timer is None:
                self._timer = threading.Timer(grace, self._kill_late, args=(reason,))
                self._timer.daemon = True
                self._timer.start()

    def _grace_for(self, reason: RunInterrupted) -> float:
        """Seconds: none if another run may have begun, else at most until one may begin."""
        if isinstance(reason, LeaseLost):
            return 0
        if isinstance(reason, JobCancelled):
            # its lease is no longer extended, and once it ends the job may be restarted
            left = self._run.lease.ends - self._run.installation.clock.monotonic()
            return min(self._grace, left - _BEFORE_THE_LEASE_ENDS)
        return self._grace

    def kill(self, *, grace: timedelta) -> bool:
        if self._over.wait(min(self._grace, grace.total_seconds())):
            return True
        return not self._signal_kill() or self._child.kill()

    def _kill_late(self, reason: RunInterrupted) -> None:
        """Note where the task stands, and kill it, because it ignored the stop."""
        if isinstance(reason, TimedOut) and not self._over.is_set():
            stack_note.note(reason, self._child.stack())
        self._signal_kill()

    def _signal_kill(self) -> bool:
        with self._lock:
            # the child may already be running another job
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


def _serve(run: Run, child: ChildProcess) -> Frame:
    """Answer the task's requests until it has ended; return the child's last frame."""
    with RunServer(run) as server:
        while True:
            frame = child.channel.receive()
            if server.answers(frame):
                # if the child has gone, it may have sent the reason before
                with suppress(Closed):
                    server.answer(frame, child.channel)
                continue
            if frame.file is not None:
                os.close(frame.file)
            if frame.kind not in ("returned", "failed"):
                raise Garbled(f"{frame.kind[:100]!r}, an unknown kind of frame")
            return frame


def _log_left(run: Run, frame: Frame) -> None:
    """Say what the job left changed, and that its process is replaced if that stays."""
    restored, lost = (_names(frame.head.get(name)) for name in ("restored", "lost"))
    if restored:
        log.warning("task %s changed %s: set back", run.task.name, restored, extra=run.log_fields)
    if lost:
        log.warning(
            "task %s left %s: its process is replaced", run.task.name, lost, extra=run.log_fields
        )


def _names(value: object) -> str:
    """What a child says that it changed, as text that begins no line of the log."""
    return printable(cut(", ".join(map(str, value)), 1000)) if isinstance(value, list) else ""


def _reason(run: Run, child: ChildProcess, problem: Closed | Garbled) -> BaseException:
    """Why the run has no outcome."""
    if isinstance(problem, Garbled):
        child.kill()
        return _garbled(problem)
    died = child.died()
    return run.stop_signal.reason or died


def _outcome(run: Run, frame: Frame, options: Process) -> Completion:
    """The result that the child sent.

    Raises: the task's error, as the child describes it; ProcessDied, when it is unreadable.
    """
    try:
        if frame.kind == "returned":
            delay = timedelta(milliseconds=int(frame.head["delay_dependents_ms"]))
            _check_size(frame.body)
            return Completion(result=json.loads(frame.body), delay_dependents=delay)
        description = json.loads(frame.body)
        limited = options.memory_mib is not None and description["memory"] is True
        remark = f"its limit is memory_mib={options.memory_mib}" if limited else None
        error = error_of_child(description, remark=remark)
        stopped = run.stop_signal.reason
        if stopped is not None:
            # the run fails with this reason, which does not know where the task stood
            stack_note.note(stopped, str(description["trace"]))
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise _garbled(problem) from None
    raise error


def _check_size(result: bytes) -> None:
    """Raises: InvalidData, for a result that would take many times its length in memory here."""
    if len(result) > _SURELY_SMALL and sum(map(result.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise InvalidData(
            f"the result has over {_MOST_VALUES:,} values (or commas in its texts); write it to an "
            "output instead, which is streamed"
        )


def _garbled(problem: BaseException) -> ProcessDied:
    return ProcessDied(f"the task's process sent something unreadable: {problem}")
