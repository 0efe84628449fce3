"""The fixtures that most folders ask for; where others are needed, a folder has its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob import Queue, RemoteJob
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    """A system on each backend."""
    with installation_on(request.param, clock) as made:
        yield made


@pytest.fixture
def remote(installation: Installation) -> RemoteJob:
    return RemoteJob(installation)


@pytest.fixture
def queue(remote: RemoteJob) -> Queue:
    return remote.queue()


@pytest.fixture
def tasks() -> Registry:
    return Registry()


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    """One that goes one step at a time."""
    return Simulation(installation=installation, tasks=tasks)
