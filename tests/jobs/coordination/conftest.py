"""A system on either backend, with a worker that goes one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from remotejob import RunningJob
from remotejob.hooks import Hooks
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.jobs.coordination.work import Work
from tests.systems import BACKENDS, installation_on


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture(params=BACKENDS)
def installation(
    request: pytest.FixtureRequest, clock: FakeClock, hooks: Hooks
) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield replace(made, hooks=hooks)


@pytest.fixture
def capped(installation: Installation) -> Installation:
    """The same system, with a cap of two running jobs for each tenant."""
    queue = replace(installation.queues["default"], tenant_limit=2)
    return replace(installation, queues={**installation.queues, "default": queue})


@pytest.fixture
def work(installation: Installation) -> Work:
    """A worker whose task does as the job's data says, and notes who ran."""
    worker = Simulation(installation=installation)
    made = Work(worker)

    @worker.tasks.task("work")
    def function(job: RunningJob) -> object:
        return made.does(job)

    return made
