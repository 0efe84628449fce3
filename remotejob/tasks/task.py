"""A task: a function with a name and its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from remotejob.domain.retry import NO_RETRY, Retry
from remotejob.tasks.runs_in import THREADS, RunsIn


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A registered function and its options."""

    name: str
    function: Callable[[Any], Any]
    """Takes a `RunningJob`; an `async def` an `AsyncRunningJob`."""
    retry: Retry = NO_RETRY
    """Applies to jobs submitted without a retry policy."""
    timeout: timedelta | None = None
    """How long one attempt may take."""
    lease: timedelta | None = None
    """How long a worker may be silent before its run counts as dead; default the system's lease.
    Source: redis-dist-job-queue, a task's `timeout` since its last heartbeat."""
    work_timeout: timedelta | None = None
    """How long the task may go without a call of its job; then the attempt fails, as on `timeout`.
    Source: job-collection, `workTimeout`."""
    crashes: int | None = None
    """How many deaths of its worker a job may survive; None for the default of two, 0 for a task
    that must not run again by itself. Applies to jobs submitted without `crashes`.
    Source: redis-dist-job-queue and forerunner, which run no job again."""
    runs_in: RunsIn = THREADS
