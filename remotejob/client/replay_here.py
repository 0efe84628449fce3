"""Replay a past job in this process, on the data and the version of the input it had.

This is for debugging: the task reads from the system, but writes only to this process's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from remotejob.client.job import Job
from remotejob.client.one_run import OneRun
from remotejob.domain.argument_checks import check_callable, check_choice, check_kind, reading
from remotejob.domain.errors import InvalidName
from remotejob.domain.job_log import LogLine
from remotejob.domain.text import cut, trace_of
from remotejob.jobs.content.outputs import Output
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.tasks.registry import registry
from remotejob.tasks.running_job import RunningJob
from remotejob.tasks.runs_in import where
from remotejob.tasks.task import Task

Tasks = (
    Mapping[str, Task]
    | Callable[[RunningJob], Any]
    | Callable[[AsyncRunningJob], Coroutine[Any, Any, Any]]
)
"""A registry that has the task, or the function itself."""


class OnError(StrEnum):
    """What to do with an error that the task raises."""

    KEEP = "keep"
    """Keep it in `Replayed.error`."""
    RAISE = "raise"
    """Raise it to the caller, and so to a debugger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """The outcome of replaying a job in this process."""

    job_id: str
    task: str
    result: Any
    """What the task returned, after a round trip through JSON; None if it failed."""
    error: BaseException | None
    traceback: str | None
    """The full traceback of the error."""
    outputs: Mapping[str, Output]
    """Outputs by name, to open or download. They live in this process's memory."""
    logs: tuple[LogLine, ...]
    progress: tuple[float, float]
    """Done and total, as last reported; all is done if the task returned."""
    took: timedelta


def replay_here(
    job: Job, *, tasks: Tasks | None = None, on_error: OnError | str = OnError.KEEP
) -> Replayed:
    """Run a job's task in this thread, whatever the job's state.

    It runs in this thread even if a worker would run the task elsewhere; an `async def` runs to its
    end. There is no lease and no time limit, so you can stay at a breakpoint as long as you like.

    Raises: InvalidName, when there is no such task; InvalidBody, when that version of the input
    has expired; FileUnreadable, when the input is in a bucket that this system does not read.
    """
    on_error = check_choice("on_error=", on_error, OnError)
    ran = OneRun(job, _find_task(job.task, tasks)).run()
    if ran.error is not None and on_error is OnError.RAISE:
        raise ran.error
    return Replayed(
        job_id=job.id,
        task=job.task,
        result=ran.result,
        error=ran.error,
        traceback=None if ran.error is None else trace_of(ran.error),
        outputs=ran.outputs,
        logs=ran.logs,
        progress=ran.progress,
        took=ran.took,
    )


def _find_task(name: str, tasks: Tasks | None) -> Task:
    if tasks is None:
        tasks = registry
    if not isinstance(tasks, Mapping):
        check_callable("tasks", tasks, remedy="give the task's function, or a registry that has it")
        return Task(name=name, function=tasks, runs_in=where(name, tasks, None))
    with reading("tasks"):
        there = dict(tasks)
    if name not in there:
        known = cut(", ".join(sorted(map(str, there))), 300) or "none"
        raise InvalidName(
            f"task {name!r} is not registered here (registered: {known}); import the module whose "
            "@task registers it, or pass its function"
        )
    return check_kind(
        f"tasks[{name!r}]", there[name], Task, remedy="give a registry, or the task's function"
    )
