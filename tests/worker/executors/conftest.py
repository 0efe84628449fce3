"""A system in memory, and a worker that takes one step at a time, with real child processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Job, Queue
from remotejob.ports import Installation
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors.executors import Executors
from tests.worker.executors import work
from tests.worker.executors.scenes import of_module

Done = Callable[..., Job]


@pytest.fixture(scope="session")
def executors() -> Iterator[Executors]:
    """Kept for all tests: what one leaves warm, the next need not start."""
    made = Executors(of_module(work).values())
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(
        clock, queues={"default": tuple(of_module(work))}, lease=timedelta(minutes=10)
    )


@pytest.fixture
def worker(installation: Installation, executors: Executors) -> Simulation:
    return Simulation(installation=installation, tasks=registry, call=executors.run)


@pytest.fixture
def done(queue: Queue, worker: Simulation) -> Done:
    """A job that was run, by the name of what it is to do."""

    def run(do: str, *, task: str = "own-process", body: Any = None, **data: Any) -> Job:
        job = queue.submit(task, data={"do": do, **data}, body=body)
        worker.step()
        return job.refresh()

    return run
