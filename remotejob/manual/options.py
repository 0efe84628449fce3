"""The options of manual work: which jobs to take, how many, and how to process them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from remotejob.domain.argument_checks import check_items, check_whole, plain_text
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta
from remotejob.jobs.submission.submission import check_task
from remotejob.ports import QueueDescription

_LONGEST_INTERVAL: Final = timedelta(days=1)
_MOST_JOBS: Final = 1000
"""One process sends a heartbeat for each of them every third of a lease."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taking:
    """Which jobs to take, and how many.

    Raises: InvalidData, when a value is invalid.
    """

    tasks: frozenset[str]
    all_tasks: bool
    """Whether these are all tasks of the queue, so no received message has to go back."""
    max_jobs: int = 1
    work_timeout: timedelta | None = None
    """A job without a sign of life for so long fails. None: it may be silent while the process
    lives."""
    wait: timedelta = timedelta(0)
    """How long to wait for the first job."""

    def __post_init__(self) -> None:
        check_whole("max_jobs", self.max_jobs, least=1, most=_MOST_JOBS)
        check_work_timeout(self.work_timeout)
        check_span("wait", self.wait)

    def of(self, max_jobs: int) -> Taking:
        """The same, but for that many jobs."""
        return replace(self, max_jobs=max_jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Processing:
    """How a `Processor` works.

    Raises: InvalidData, when a value is invalid.
    Source: meteor-job, `Job.processJobs`, and its defaults.
    """

    concurrency: int = 1
    """Calls of the function at a time."""
    payload: int = 1
    """Jobs in a call; if more than one, the function gets a list."""
    poll_interval: timedelta = timedelta(seconds=5)
    """Time between two polls, while there is room for more jobs than it found."""
    prefetch: int = 0
    """Jobs to take in addition to those that can begin."""
    work_timeout: timedelta | None = None
    """See `Taking`; it counts from the call of the function."""

    def __post_init__(self) -> None:
        check_whole("concurrency", self.concurrency, least=1, most=_MOST_JOBS)
        check_whole("payload", self.payload, least=1, most=_MOST_JOBS)
        check_whole("prefetch", self.prefetch, least=0, most=_MOST_JOBS)
        check_work_timeout(self.work_timeout)
        check_span("poll_interval", self.poll_interval)
        if self.poll_interval > _LONGEST_INTERVAL:
            raise InvalidData(
                f"poll_interval={shown(self.poll_interval)}: use {_LONGEST_INTERVAL} at most"
            )
        if self.poll_interval <= timedelta(0):
            raise InvalidData(
                f"poll_interval={shown(self.poll_interval)}: it must be longer than 0"
            )
        if self.most > _MOST_JOBS:
            raise InvalidData(
                f"concurrency={self.concurrency} with payload={self.payload} and "
                f"prefetch={self.prefetch}: {self.most} jobs at a time, {_MOST_JOBS} at most"
            )

    @property
    def most(self) -> int:
        """The most jobs held at a time."""
        return self.prefetch + self.payload * self.concurrency


def wanted_tasks(
    tasks: str | Iterable[str] | None, queue: QueueDescription
) -> tuple[frozenset[str], bool]:
    """The tasks to take, and whether they are all tasks of the queue; `tasks=None` means all.

    Raises: UnknownTask; InvalidData, when `tasks` is empty.
    """
    if tasks is None:
        return frozenset(queue.tasks), True
    if plain_text(tasks) is not None:
        tasks = (tasks,)  # type: ignore[assignment]
    names = check_items("tasks", tasks, remedy="give the name of a task, or a list of them")
    if not names:
        raise InvalidData("tasks is empty; name one, or leave it out for all of the queue's tasks")
    names = [check_task(name, queue) for name in names]
    return frozenset(names), set(names) == set(queue.tasks)


def check_span(name: str, value: object) -> None:
    if check_timedelta(name, value) < timedelta(0):
        raise InvalidData(f"{name}={shown(value)} is negative; use timedelta(0) or more")


def check_work_timeout(value: object) -> None:
    if value is None:
        return
    if check_timedelta("work_timeout", value) <= timedelta(0):
        raise InvalidData(f"work_timeout={shown(value)} leaves the work no time; use more, or None")
