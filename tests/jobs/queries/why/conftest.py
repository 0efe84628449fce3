"""A system on each backend, a worker that takes one step at a time, and signs of life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from remotejob import Retry, RunningJob
from remotejob.domain.errors import Fatal
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.lifecycle.presence import Presence
from tests.systems import BACKENDS, installation_on

Live = Callable[..., Presence]


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    queues = {"default": ("work", "draw")}
    with installation_on(request.param, clock, queues=queues) as made:
        yield limited(made)


def limited(installation: Installation) -> Installation:
    """The same system, where two jobs of a tenant may run at a time."""
    queue = replace(installation.queues["default"], tenant_limit=2)
    return replace(installation, queues={"default": queue})


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation, worker="w1")

    @simulation.tasks.task("work", retry=Retry(max_attempts=2))
    def work(job: RunningJob) -> None:
        match job.data:
            case "fail":
                raise ValueError("no")
            case "fatal":
                raise Fatal("never")

    return simulation


@pytest.fixture
def live(installation: Installation) -> Live:
    """Has a worker give a sign of life."""

    def give(name: str = "w1", *abilities: str) -> Presence:
        presence = Presence(
            installation,
            worker=name,
            queue="default",
            abilities=abilities or ("work",),
            concurrency=4,
            running=list,
        )
        presence.give_if_due(lambda sign: sign())
        return presence

    return give
