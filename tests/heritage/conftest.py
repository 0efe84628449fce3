"""A system on either backend, and a worker that goes one step at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob import RemoteJob
from remotejob.manual.holder import JobHolder
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on

QUEUES = {"default": ("work", "other")}


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock, queues=QUEUES) as made:
        yield made


@pytest.fixture
def remote(installation: Installation) -> RemoteJob:
    # nothing beats by itself in the test's time
    return RemoteJob(installation, holder=JobHolder(installation, start=lambda beat: None))


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    """Without tasks: a test registers what it needs."""
    return Simulation(installation=installation)


def work_off(worker: Simulation) -> None:
    """Work until nothing is left that can be done now."""
    while worker.step():
        pass
