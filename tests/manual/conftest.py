"""A system on each backend, and a hand that beats when the test tells it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob import Queue, RemoteJob
from remotejob.manual.holder import JobHolder
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on

QUEUES = {"default": ("work", "other"), "single": ("work",)}


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock, queues=QUEUES) as made:
        yield made


@pytest.fixture
def holder(installation: Installation) -> JobHolder:
    return JobHolder(installation, start=lambda beat: None)


@pytest.fixture
def system(installation: Installation, holder: JobHolder) -> RemoteJob:
    return RemoteJob(installation, holder=holder)


@pytest.fixture
def queue(system: RemoteJob) -> Queue:
    return system.queue()


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    """Another process, a worker, that has every task."""
    simulation = Simulation(installation=installation)
    for name in ("work", "other"):
        simulation.tasks.task(name)(lambda job: "by the worker")
    return simulation
