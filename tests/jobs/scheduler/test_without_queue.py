"""Jobs of a queue that is no longer deployed wait a week for it, and then they fail, and say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, RemoteJob, Repeat, State, Why
from remotejob.domain.without_queue import KEPT_FOR, NO_QUEUE, QUEUE_REMOVED
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation

HOUR = timedelta(hours=1)


@pytest.fixture
def installation(installation: Installation) -> Installation:
    other = replace(installation.queues["default"], name="gone")
    return replace(installation, queues={**installation.queues, "gone": other})


@pytest.fixture
def removed(installation: Installation) -> Installation:
    """The system after the queue was taken out."""
    return replace(installation, queues={"default": installation.queues["default"]})


def submitted(installation: Installation, **options: object) -> Job:
    queue = RemoteJob(installation).queue("gone")
    return queue.submit("work", delay=HOUR, **options)  # type: ignore[arg-type]


def pass_time(installation: Installation, clock: FakeClock, span: timedelta) -> None:
    """The scheduler goes on as deployed, seldom enough for a test."""
    for _ in range(int(span / HOUR)):
        clock.advance(HOUR)
        tick(installation)


def test_a_job_is_noted_first_and_fails_a_week_later(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = submitted(installation)
    clock.advance(HOUR)
    assert tick(removed)["without a queue"] == 1

    (note,) = job.refresh().record.errors
    assert (job.state, note.kind) == (State.WAITING, NO_QUEUE)
    assert "'gone' is not deployed; the job fails at" in note.message
    why = Job(job.record, removed).why()
    assert why.code is Why.NO_QUEUE
    assert why.details["fails_at"] in why.text

    pass_time(removed, clock, KEPT_FOR - HOUR)
    assert job.refresh().state is State.WAITING
    pass_time(removed, clock, timedelta(hours=8))
    assert job.refresh().state is State.FAILED
    failure = job.record.errors[-1]
    assert failure.kind == QUEUE_REMOVED
    assert "'gone' was removed" in failure.message
    assert "replay it in another queue" in failure.message
    assert job.record.owed is None, "nothing is left undone"


def test_what_depends_on_it_is_cancelled(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = submitted(installation)
    dependent = RemoteJob(installation).queue("default").submit("work", depends=[job])
    pass_time(removed, clock, KEPT_FOR + timedelta(hours=8))
    assert job.refresh().state is State.FAILED
    assert dependent.refresh().state is State.CANCELLED


def test_a_repeating_job_is_not_repeated(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = submitted(installation, repeat=Repeat(wait=HOUR))
    pass_time(removed, clock, KEPT_FOR + timedelta(hours=8))
    assert job.refresh().state is State.FAILED
    assert job.record.next_id is None


def test_it_runs_if_its_queue_is_back(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = submitted(installation)
    pass_time(removed, clock, KEPT_FOR - timedelta(hours=7))
    pass_time(installation, clock, timedelta(hours=8))
    workers = Simulation(installation=installation, queue="gone")
    workers.tasks.task("work")(lambda _: None)
    workers.step()
    assert job.refresh().state is State.COMPLETED


@pytest.mark.exhaustive
def test_a_queue_that_is_removed_again_is_waited_for_again(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = submitted(installation)
    pass_time(removed, clock, timedelta(hours=2))
    pass_time(installation, clock, KEPT_FOR)
    # what happens to it shows that the queue was back
    clock.advance(timedelta(seconds=1))
    job.pause().resume()
    pass_time(removed, clock, timedelta(days=2))
    assert job.refresh().state is State.WAITING


def test_the_sweep_finds_a_job_that_was_ready(
    installation: Installation, removed: Installation, clock: FakeClock
) -> None:
    job = RemoteJob(installation).queue("gone").submit("work")
    for _ in range(9):
        clock.advance(timedelta(hours=25))
        sweep(removed)
    assert job.refresh().state is State.FAILED
    assert [error.kind for error in job.record.errors] == [NO_QUEUE, QUEUE_REMOVED]
