"""What is told to a worker when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from remotejob.domain.errors import SettingsError
from remotejob.ports import QueueDescription
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.lifecycle.protection_policy import Guard
from remotejob.worker.metrics import Totals


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How a worker works."""

    queue: str
    name: str
    """Who this worker is, as its jobs' records say."""
    concurrency: int = 4
    """Jobs at a time."""
    grace: timedelta = timedelta(seconds=100)
    """How long jobs may go on once the worker is told to stop; the rest is given back.
    With `STOP_MARGIN` below Fargate's longest stop timeout, 120 s."""
    linger: timedelta = timedelta(milliseconds=500)
    """How long a settled message may wait for others, to share their requests."""
    health_file: Path | None = None
    """Where it says once a second how it is: see `Health`."""
    abilities: tuple[str, ...] | None = None
    """Which of the queue's tasks it runs, where others run the rest; default all of them.
    Source: forerunner, the manifest of a worker."""
    children: ChildProgram | None = None
    """What the processes of tasks that have their own import; default the modules of these tasks.
    """
    guard: Guard | None = None
    """Asked to keep the worker from being stopped while it is busy."""
    replaces: str | None = None
    """The worker that is dead, and in whose place this one was started."""
    write_metrics: Callable[[Totals], None] | None = None
    """Gets once a minute, and at the end, what was counted; without it nothing is."""


def abilities_of(options: WorkerOptions, queue: QueueDescription) -> tuple[str, ...]:
    """Raises: SettingsError, when the queue has no such tasks."""
    if options.abilities is None:
        return queue.tasks
    for name in options.abilities:
        if name not in queue.tasks:
            raise SettingsError(
                f"ability {name!r}: queue {queue.name!r} runs {', '.join(queue.tasks)}; use some "
                "of these, or none for all"
            )
    if not options.abilities:
        raise SettingsError("abilities=(): name a task at least, or leave them out for all")
    return options.abilities
