"""Which stopped workers never got to work, and which ones crashed.

ECS counts failed starts for a deployment alone, and only until one worker runs; an image that is
deleted later, or a task module that a setting broke, is not counted. So we read the stopped tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from remotejob.domain.fleet import StoppedTask
from remotejob.domain.times import span_ms

LATELY: Final = timedelta(minutes=15)
"""ECS starts failing tasks of a service ever more rarely, up to this long apart. Source: Amazon ECS
Developer Guide, "Amazon ECS service throttle logic"."""

EARLY: Final = timedelta(minutes=3)
"""A worker that fails within this has done no work worth the start."""

FULL_DISK: Final = 75
"""Exit code of a worker that asks for an empty disk; see `remotejob.worker.lifecycle.disk_space`.
"""

_INTENDED: Final = frozenset({"UserInitiated", "SpotInterruption", "TerminationNotice"})
"""Source: Amazon ECS API Reference, Task, stopCode."""

_UNHEALTHY: Final = "failed container health checks"
"""Source: Amazon ECS Developer Guide, "Stopped tasks error messages"."""


def failed_starts(
    stopped: Iterable[StoppedTask], *, now_ms: int, since_ms: int | None = None
) -> tuple[StoppedTask, ...]:
    """The workers that lately, and after `since_ms`, never ran or failed as soon as they did."""
    return tuple(
        task
        for task in _lately(stopped, now_ms)
        if task.at_ms > (since_ms or 0) and (_never_ran(task) or _early(task))
    )


def crashes(stopped: Iterable[StoppedTask], *, now_ms: int) -> tuple[StoppedTask, ...]:
    """The workers that lately ran and failed."""
    return tuple(task for task in _lately(stopped, now_ms) if _failed(task))


def _lately(stopped: Iterable[StoppedTask], now_ms: int) -> Iterable[StoppedTask]:
    return (task for task in stopped if now_ms - task.at_ms < span_ms(LATELY))


def _never_ran(task: StoppedTask) -> bool:
    # the service itself stops one that is starting when fewer are desired
    intended = task.code in _INTENDED or task.code == "ServiceSchedulerInitiated"
    return task.started_at_ms is None and not intended


def _early(task: StoppedTask) -> bool:
    started = task.started_at_ms
    return started is not None and task.at_ms - started < span_ms(EARLY) and _failed(task)


def _failed(task: StoppedTask) -> bool:
    if task.started_at_ms is None or task.code in _INTENDED:
        return False
    if task.code == "ServiceSchedulerInitiated":
        return _UNHEALTHY in task.reason
    return task.exit_code not in (None, 0, FULL_DISK)
