"""What is asked for when jobs are taken by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from remotejob.domain.errors import InvalidData, UnknownTask
from remotejob.ports import QueueDescription

_MOST_JOBS: Final = 1000
"""Each is kept alive by a request every third of a lease, by one process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taking:
    """Which jobs are taken, how many, and how.

    Raises: InvalidData, when a value makes no sense.
    """

    tasks: frozenset[str]
    all_tasks: bool
    """Whether these are all the queue's: then nothing received is passed back."""
    max_jobs: int = 1
    work_timeout: timedelta | None = None
    """A job without a sign of life for so long is failed. None: while the process lives."""
    wait: timedelta = timedelta(0)
    """How long to wait for the first."""

    def __post_init__(self) -> None:
        check_whole("max_jobs", self.max_jobs, least=1, most=_MOST_JOBS)
        check_work_timeout(self.work_timeout)
        check_span("wait", self.wait)

    def of(self, max_jobs: int) -> Taking:
        """The same for so many jobs."""
        return replace(self, max_jobs=max_jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Processing:
    """How a `Processor` works.

    Raises: InvalidData, when a value makes no sense.
    Source: meteor-job, `Job.processJobs`, whose defaults these are.
    """

    concurrency: int = 1
    """Calls of the function at a time."""
    payload: int = 1
    """Jobs in a call; beyond one, the function is given a list."""
    poll_interval: timedelta = timedelta(seconds=5)
    """Between two looks for jobs, while there is room for more than there are."""
    prefetch: int = 0
    """Jobs taken beyond those that can begin."""
    work_timeout: timedelta | None = None
    """See `Taking`; it counts from when the function is called."""

    def __post_init__(self) -> None:
        check_whole("concurrency", self.concurrency, least=1, most=_MOST_JOBS)
        check_whole("payload", self.payload, least=1, most=_MOST_JOBS)
        check_whole("prefetch", self.prefetch, least=0, most=_MOST_JOBS)
        check_work_timeout(self.work_timeout)
        check_span("poll_interval", self.poll_interval)
        if self.poll_interval <= timedelta(0):
            raise InvalidData(
                f"poll_interval={self.poll_interval!r}: it must be longer than nothing"
            )
        if self.most > _MOST_JOBS:
            raise InvalidData(
                f"concurrency={self.concurrency} with payload={self.payload} and "
                f"prefetch={self.prefetch}: {self.most} jobs at a time, {_MOST_JOBS} at most"
            )

    @property
    def most(self) -> int:
        """Jobs held at a time."""
        return self.prefetch + self.payload * self.concurrency


def wanted_tasks(
    tasks: str | Iterable[str] | None, queue: QueueDescription
) -> tuple[frozenset[str], bool]:
    """The tasks asked for, None for all the queue has; and whether those are all.

    Raises: UnknownTask; InvalidData, when none is named.
    """
    if tasks is None:
        return frozenset(queue.tasks), True
    names = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    if not names:
        raise InvalidData("tasks is empty; name one, or leave it out for all the queue's")
    for name in names:
        if name not in queue.tasks:
            raise UnknownTask(name, known=queue.tasks, queue=queue.name)
    return frozenset(names), set(names) == set(queue.tasks)


def check_whole(name: str, value: object, *, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise InvalidData(f"{name}={value!r}: use a whole number from {least} to {most}")


def check_span(name: str, value: object) -> None:
    if not isinstance(value, timedelta):
        raise InvalidData(f"{name}={value!r}: use a timedelta, such as timedelta(seconds=5)")
    if value < timedelta(0):
        raise InvalidData(f"{name}={value!r} lies in the past; the least is timedelta(0)")


def check_work_timeout(value: object) -> None:
    if value is None:
        return
    check_span("work_timeout", value)
    assert isinstance(value, timedelta)
    if value <= timedelta(0):
        raise InvalidData(f"work_timeout={value!r} leaves the work no time")
