"""A system in memory, and a worker that takes one step at a time."""

from __future__ import annotations

import pytest

from remotejob import Queue, RemoteJob
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


@pytest.fixture
def tasks() -> Registry:
    return Registry()


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    return Simulation(installation=installation, tasks=tasks)
