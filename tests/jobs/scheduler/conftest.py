"""A system in memory, and a worker whose only task completes."""

from __future__ import annotations

import pytest

from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    tasks.task("work")(lambda job: "done")
    return Simulation(installation=installation, tasks=tasks)
