"""The `runs_in` options of a task: threads, a child process, or the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from remotejob.domain.argument_checks import check_choice, check_whole, reading
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta
from remotejob.tasks.functions import check_function, is_async

_LEAST_MEMORY_MIB: Final = 64
"""The interpreter, this library and boto3 use about half of it."""

_MOST_MEMORY_MIB: Final = 1024 * 1024
_MOST_JOBS: Final = 1_000_000
_LONGEST_GRACE: Final = timedelta(minutes=10)


class Credentials(StrEnum):
    """Whether a task's process gets the worker's AWS credentials."""

    INHERITED = "inherited"
    """Yes, like a task in a thread."""

    NONE = "none"
    """No, nor the system's description. The calls of its job still work, because the worker makes
    them. This hides the credentials from code that does not search for them; it is no sandbox: see
    docs/executors.md for its limits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """In a thread of the worker. Costs nothing, but a crash of the process ends all its jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Async:
    """On the worker's event loop, as an `async def` that is given an `AsyncRunningJob`.

    A handler that blocks the loop stops all others; the worker logs where it blocks.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """In a child process of the worker, which runs one job at a time and is kept for the next.

    Raises: InvalidData, when a value is invalid.
    Source: redis-dist-job-queue, `childProcessCount`: a crash ends only the jobs of one process.
    """

    memory_mib: int | None = None
    """Limit of the process's data: heap and private writable mappings, even if never touched; None
    for no limit. An allocation beyond it fails, in Python with MemoryError. The interpreter, the
    imports of the tasks and the whole stack of each thread (usually 8 MiB) count; shared memory
    (`multiprocessing.shared_memory`, `mmap`) and read-only mappings do not. Each process that the
    task starts has the same limit of its own. Linux only.
    Source: getrlimit(2), RLIMIT_DATA, "since Linux 4.7 also mmap(2)"."""
    max_jobs_per_child: int | None = None
    """Jobs after which a process is replaced, for tasks that leak memory; None for never.
    Source: Celery, `worker_max_tasks_per_child`."""
    grace: timedelta = timedelta(seconds=10)
    """How long a stopped run may take to notice before its process is killed. If the lease is lost,
    it is killed at once, because another run may have the job."""
    credentials: Credentials | str = Credentials.INHERITED
    """A `Credentials`, or its word: "inherited" or "none"."""

    def __post_init__(self) -> None:
        _check_whole("memory_mib", self.memory_mib, least=_LEAST_MEMORY_MIB, most=_MOST_MEMORY_MIB)
        _check_whole("max_jobs_per_child", self.max_jobs_per_child, least=1, most=_MOST_JOBS)
        if not timedelta(0) <= check_timedelta("grace", self.grace) <= _LONGEST_GRACE:
            raise InvalidData(f"Process(grace={shown(self.grace)}): use from 0 to {_LONGEST_GRACE}")
        credentials = check_choice(
            "Process: credentials=", self.credentials, Credentials, error=InvalidData
        )
        object.__setattr__(self, "credentials", credentials)

    def __str__(self) -> str:
        options = (
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"Process({', '.join(options)})"


RunsIn = Threads | Process | Async

THREADS: Final = Threads()
ASYNC: Final = Async()


def where(task: str, function: Callable[..., Any], runs_in: RunsIn | None) -> RunsIn:
    """Where to run a task: its `runs_in`, or the default for its kind of function.

    Raises: InvalidData, when it cannot run there.
    """
    check_function(f"task {task!r}", function, "job")
    with reading(f"task {task!r}"):
        awaited = is_async(function)
    if runs_in is None:
        return ASYNC if awaited else THREADS
    if not isinstance(runs_in, Threads | Process | Async):
        raise InvalidData(
            f"task {task!r}: runs_in={shown(runs_in)}: use Threads(), Process() or Async(), made "
            "with brackets"
        )
    if isinstance(runs_in, Threads) and awaited:
        raise InvalidData(
            f"task {task!r} is an async def, which a thread cannot run: leave runs_in out, use "
            "runs_in=Async(), or write def"
        )
    if isinstance(runs_in, Threads):
        return THREADS
    if isinstance(runs_in, Async) and not awaited:
        raise InvalidData(
            f"task {task!r} would block the event loop of all async tasks: write async def, or "
            "use runs_in=Threads()"
        )
    return runs_in


def _check_whole(name: str, value: object, *, least: int, most: int) -> None:
    if value is None:
        return
    check_whole(f"Process: {name}", value, least=least, most=most)
