"""A system whose one worker makes thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remotejob import Job, Queue
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from worker_container.tasks.thumbnail import thumbnail

Shrink = Callable[..., Job]


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


@pytest.fixture
def shrink(queue: Queue, installation: Installation, tasks: Registry) -> Shrink:
    """Run the task `thumbnail` on a file, once; the job."""
    tasks.task("work")(thumbnail)
    worker = Simulation(installation=installation, tasks=tasks)

    def shrink(body: bytes, *, filename: str = "photo", data: Any = None) -> Job:
        job = queue.submit("work", body=body, filename=filename, data=data)
        worker.step()
        return job.refresh()

    return shrink
