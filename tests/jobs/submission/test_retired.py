"""A retired queue takes no new jobs; those it has go on, and do not repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Queue, QueueRetired, RemoteJob, Repeat, State, Submission
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation


def retired(installation: Installation) -> Installation:
    described = replace(installation.queues["default"], retired=True)
    return replace(installation, queues={**installation.queues, "default": described})


@pytest.fixture
def later(installation: Installation) -> Queue:
    """The queue, after it was retired."""
    return RemoteJob(retired(installation)).queue("default")


WAYS: dict[str, Callable[[Queue], object]] = {
    "submit": lambda queue: queue.submit("work", body=b"x"),
    "due later": lambda queue: queue.submit("work", delay=timedelta(days=1)),
    "submit_many": lambda queue: queue.submit_many([Submission("work"), Submission("work")]),
    "map": lambda queue: queue.map("work", [1, 2]),
    "trigger": lambda queue: queue.trigger("pending", "jobs/there"),
    "replay": lambda queue: queue.jobs(state="completed")[0].replay(),
    "rerun": lambda queue: queue.jobs(state="completed")[0].rerun(),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_takes_no_new_jobs_and_nothing_is_stored(
    way: str,
    queue: Queue,
    later: Queue,
    installation: Installation,
    worker: Simulation,
    tasks: Registry,
) -> None:
    tasks.task("work")(lambda _: None)
    installation.files.put(Area.INPUT, "jobs/there", b"x")
    queue.submit("work")
    worker.step()

    with pytest.raises(QueueRetired, match=r"'default' is retired.*\[queues\.default\].*deploy"):
        WAYS[way](later)

    assert len(queue.jobs()) == 1
    assert list(installation.files.keys(Area.INPUT, "")) == ["jobs/there"]


def test_a_key_whose_job_is_there_finds_it(queue: Queue, later: Queue) -> None:
    """A client that retries its submit learns that the first one was accepted."""
    first = queue.submit("work", idempotency_key="once")
    assert later.submit("work", idempotency_key="once").id == first.id
    with pytest.raises(QueueRetired):
        later.submit("work", idempotency_key="another")


def test_what_it_has_goes_on_and_may_be_restarted(
    queue: Queue, installation: Installation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: 1 / (job.attempt - 1))
    job = queue.submit("work")
    workers = Simulation(installation=retired(installation), tasks=tasks)
    workers.step()
    assert job.refresh().state is State.FAILED

    job.restart()
    workers.step()
    assert job.refresh().state is State.COMPLETED


def test_its_jobs_do_not_repeat(
    queue: Queue, installation: Installation, clock: FakeClock, tasks: Registry
) -> None:
    tasks.task("work")(lambda _: None)
    job = queue.submit("work", repeat=Repeat(wait=timedelta(minutes=1)))
    Simulation(installation=retired(installation), tasks=tasks).step()

    assert job.refresh().state is State.COMPLETED
    assert job.record.next_id is None
    assert len(queue.jobs()) == 1
