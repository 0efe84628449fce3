"""The message of a job is hidden as long as its lease lasts, and never grows too old."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob import Queue, State
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.runs.run import Run

MOMENT = timedelta(milliseconds=1)
LEASE = timedelta(seconds=60)


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    tasks.task("work")(lambda job: "done")
    return Simulation(installation=installation, tasks=tasks)


def test_heartbeat_hides_the_message_for_a_whole_lease(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    queue.submit("work")
    run = worker.handler.begin(worker.receive()[0])
    assert isinstance(run, Run)
    other = Simulation(installation=installation, tasks=worker.tasks, worker="other")
    with worker.runs.holding(run):
        clock.advance(LEASE / 3)
        worker.beat()

        clock.advance(LEASE - MOMENT)
        assert other.receive() == []
        clock.advance(MOMENT)
        assert len(other.receive()) == 1


def test_message_past_half_its_life_is_replaced_before_its_job_begins(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    """Its job may run or wait for longer than the queue would still keep it."""
    job = queue.submit("work")
    clock.advance(installation.messages.capabilities.retention / 2)
    clock.advance(MOMENT)

    worker.step()
    assert job.refresh().state is State.READY
    worker.step()
    assert job.refresh().state is State.COMPLETED


def test_message_at_half_its_life_is_taken(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    clock.advance(installation.messages.capabilities.retention / 2)

    worker.step()

    assert job.refresh().state is State.COMPLETED
