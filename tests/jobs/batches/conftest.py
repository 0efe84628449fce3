"""A system on each backend, a worker, and a task that follows a batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.jobs.batches.working import QUEUES, worker_of
from tests.systems import BACKENDS, installation_on


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock, queues=QUEUES) as made:
        yield made


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    return worker_of(installation)
