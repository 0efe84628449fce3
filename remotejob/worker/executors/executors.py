"""Chooses the executor of each job by its task, and imports only the executors in use."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from remotejob.domain.errors import SettingsError
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.running_job import RunningJob
from remotejob.tasks.runs_in import Process, Threads
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import ThisThread, call
from remotejob.worker.executors.processes.program import ChildProgram, NotStarted
from remotejob.worker.runs.run import Run
from remotejob.worker.runs.thread_surroundings import ThreadSurroundings

if TYPE_CHECKING:
    from remotejob.worker.executors.processes.pool import ProcessPool


class Executor(Protocol):
    """Runs jobs, each on behalf of the calling thread, which waits."""

    def run(self, run: Run) -> Any:
        """Run the job's task to its end; return its result.

        Raises: the task's error, or the reason why it was broken off.
        """
        ...

    def close(self, *, within: timedelta) -> None:
        """End all running tasks, and the processes or threads kept for the next jobs."""
        ...


class Executors:
    """An `Executor` for all tasks of a worker, wherever they run. Safe across threads."""

    def __init__(self, tasks: Iterable[Task], *, program: ChildProgram | None = None) -> None:
        """Raises: SettingsError, when a child process could not find its task."""
        self._lock = threading.Lock()
        self._in_processes = [task for task in tasks if isinstance(task.runs_in, Process)]
        self._program = _program(self._in_processes, program or ChildProgram())
        self._processes: ProcessPool | None = None
        self._loop: Executor | None = None
        self._closed = False
        self._this_thread = threading.local()
        self._surroundings = ThreadSurroundings()

    def start(self, names: Iterable[str]) -> None:
        """Start a child process for each kind of process that these tasks need."""
        wanted = set(names)
        for options in {task.runs_in for task in self._in_processes if task.name in wanted}:
            assert isinstance(options, Process)
            self._children().warm(options)

    def run(self, run: Run) -> Any:
        task = run.task
        if isinstance(task.runs_in, Threads):
            reaches, shared = run.stop_signal.reaches(ThisThread()), self._surroundings.during(run)
            with reaches, shared, OnlyHere():
                return call(task.function, RunningJob(run))
        executor = self._children() if isinstance(task.runs_in, Process) else self._event_loop()
        run.wait_to_begin()
        try:
            return executor.run(run)
        except NotStarted as problem:
            self._this_thread.problem = problem
            raise

    def check_begun(self) -> None:
        """Raises: NotStarted, once, if no process could be started for this thread's last run.

        The job has been given back; the worker should wait before it takes the next.
        """
        problem: NotStarted | None = self._this_thread.__dict__.pop("problem", None)
        if problem is not None:
            raise problem

    def close(self, *, within: timedelta) -> None:
        with self._lock:
            self._closed = True
            executors: list[Executor | None] = [self._processes, self._loop]
        for executor in executors:
            if executor is not None:
                executor.close(within=within)

    def _children(self) -> ProcessPool:
        from remotejob.worker.executors.processes.pool import ProcessPool

        with self._lock:
            if self._processes is None:
                self._processes = ProcessPool(self._program)
            if self._closed:
                self._processes.close(within=timedelta(0))
            return self._processes

    def _event_loop(self) -> Executor:
        from remotejob.worker.executors.event_loop import Loop

        with self._lock:
            if self._loop is None:
                self._loop = Loop()
            if self._closed:
                self._loop.close(within=timedelta(0))
            return self._loop


def _program(tasks: list[Task], program: ChildProgram) -> ChildProgram:
    """The program with the modules that register these tasks.

    Raises: SettingsError.
    """
    if program.modules or not tasks:
        return program
    modules = sorted({str(task.function.__module__) for task in tasks})
    if "__main__" in modules:
        names = ", ".join(task.name for task in tasks if task.function.__module__ == "__main__")
        raise SettingsError(
            f"task {names} runs in a child process, which cannot import it from "
            f"{sys.argv[0] or 'here'}: put it into a module"
        )
    return ChildProgram(modules=tuple(modules), logging=program.logging)
