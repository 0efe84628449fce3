"""The job that follows a batch, by hand: it does not run before the batch is complete."""

from __future__ import annotations

from datetime import timedelta

from remotejob import Job, Queue, State, Submission
from remotejob.client.batch import Batch
from remotejob.testing import FakeClock, Simulation
from tests.jobs.batches.working import let_time_pass, work_off

LATER = Submission(task="work", data={"fail": False}, delay=timedelta(minutes=5))


def follower(batch: Batch) -> Job:
    job = batch.refresh().on_complete
    assert job is not None
    return job


def test_independent_follower_still_waits_for_its_batch(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [LATER], on_complete="summary")

    job = follower(batch).make_ready(independent=True)

    assert job.record.blocked == frozenset({batch.id})
    work_off(worker)
    assert job.refresh().state is State.WAITING
    let_time_pass(worker, clock, minutes=6)
    assert job.refresh().state is State.COMPLETED
    assert job.result["batch"]["completed"] == 1


def test_restarted_follower_still_waits_for_its_batch(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [LATER], on_complete="summary")
    job = follower(batch).cancel()

    job.restart()

    assert job.record.blocked == frozenset({batch.id})
    work_off(worker)
    assert job.refresh().state is State.WAITING
    let_time_pass(worker, clock, minutes=6)
    assert job.refresh().state is State.COMPLETED
    assert job.result["batch"]["completed"] == 1


def test_follower_restarted_after_its_batch_runs_at_once(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [LATER], on_complete="summary")
    job = follower(batch).cancel()
    let_time_pass(worker, clock, minutes=6)
    assert job.refresh().state is State.CANCELLED

    job.restart()

    work_off(worker)
    assert job.refresh().state is State.COMPLETED


def test_children_restarted_one_after_the_other_are_followed_once_more(
    queue: Queue, worker: Simulation
) -> None:
    """The second restart finds a follower that still waits."""
    batch = queue.map("work", [{"fail": True}, {"fail": True}], on_complete="summary")
    work_off(worker)
    assert follower(batch).refresh().state is State.COMPLETED

    for child in list(batch.children()):
        child.restart()
    work_off(worker)

    followers = [job for job in queue.jobs() if job.task == "summary"]
    assert [job.state for job in followers] == [State.COMPLETED] * 2
