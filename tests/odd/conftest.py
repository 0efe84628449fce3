"""A system that keeps few days, because each day of a listing costs eight requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on

QUEUES = {"default": ("work", "other"), "second": ("work", "pay")}


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock, queues=QUEUES) as made:
        yield replace(made, retention=timedelta(days=2))


@pytest.fixture
def ran() -> list[tuple[str, object]]:
    """The tasks that were run, with the data of their jobs."""
    return []


@pytest.fixture
def worker(installation: Installation, ran: list[tuple[str, object]]) -> Simulation:
    """A worker of the default queue."""
    simulation = Simulation(installation=installation)
    for name in ("work", "other"):
        simulation.tasks.task(name)(lambda job, name=name: ran.append((name, job.data)))
    return simulation
