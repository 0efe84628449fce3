"""The options of a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from remotejob.domain.errors import SettingsError
from remotejob.names import MIN_FREE_DISK_PERCENT
from remotejob.ports import QueueDescription
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.lifecycle.disk_space import DiskProbe, usage_of
from remotejob.worker.lifecycle.protection_policy import Guard
from remotejob.worker.metrics import Totals


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """Which queue a worker serves, and how."""

    queue: str
    name: str
    """The worker's name in the records of its jobs."""
    concurrency: int = 4
    """Jobs at a time."""
    grace: timedelta = timedelta(seconds=100)
    """How long jobs may go on when the worker stops; then they are given back.
    With `STOP_MARGIN`, less than Fargate's longest stop timeout, 120 s."""
    linger: timedelta = timedelta(milliseconds=500)
    """How long a message may wait to be settled together with others."""
    health_file: Path | None = None
    """Where to write the worker's health once a second: see `Health`."""
    abilities: tuple[str, ...] | None = None
    """The queue's tasks that it runs, if other workers run the rest; default all.
    Source: forerunner, the manifest of a worker."""
    children: ChildProgram | None = None
    """What the child processes of tasks import; default the modules of these tasks."""
    guard: Guard | None = None
    """Keeps the worker from being stopped while it is busy."""
    replaces: str | None = None
    """The dead worker that this one was started to replace."""
    ecs_task: str | None = None
    """Id of the worker's task in ECS, for its signs of life."""
    min_free_disk_percent: int = MIN_FREE_DISK_PERCENT
    """While less of the temporary folder's disk is free, or less than twice the largest recent
    input, the worker takes no jobs; 0 for no limit."""
    disk_probe: DiskProbe = usage_of
    """Measures that disk; a test replaces it."""
    write_metrics: Callable[[Totals], None] | None = None
    """Called with the metrics once a minute, and at the end; without it nothing is counted."""


def abilities_of(options: WorkerOptions, queue: QueueDescription) -> tuple[str, ...]:
    """The tasks that the worker runs. Raises: SettingsError, when the queue does not have them."""
    if options.abilities is None:
        return queue.tasks
    for name in options.abilities:
        if name not in queue.tasks:
            raise SettingsError(
                f"ability {name!r}: queue {queue.name!r} runs {', '.join(queue.tasks)}; use some "
                "of these, or leave abilities out for all"
            )
    if not options.abilities:
        raise SettingsError("abilities=(): name at least one task, or leave them out for all")
    return options.abilities
