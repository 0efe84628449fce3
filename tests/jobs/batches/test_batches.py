"""Batches on both backends: made, counted, followed, cancelled and retried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    CommandRefused,
    Job,
    Queue,
    RemoteJob,
    Retry,
    State,
    Submission,
    WaitTimeout,
)
from remotejob.client.batch import Batch
from remotejob.domain.batches import BatchState, partition_of_batch
from remotejob.domain.errors import BatchNotFound, InvalidData, InvalidName, UnknownTask
from remotejob.domain.transactions import Erase, Key
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import SHARDS, Field
from remotejob.ports import Address, Channel, Installation, Received
from remotejob.testing import FakeClock, Simulation
from tests.jobs.batches.working import MINUTE, let_time_pass, work_off, worker_of

GOOD = {"fail": False}
BAD = {"fail": True}


def follower(batch: Batch) -> Job:
    """The job that follows a batch, as it stands."""
    job = batch.refresh().on_complete
    assert job is not None
    return job


def runs_of_summary(remote: RemoteJob) -> list[dict[str, Any]]:
    """The batch data each follower got, the one with fewest completed first."""
    completed = remote.jobs(state=State.COMPLETED, limit=1000)
    told = [job.result["batch"] for job in completed if job.task == "summary"]
    return sorted(told, key=lambda one: one["completed"])


def test_every_item_becomes_a_job_and_each_end_is_counted(
    queue: Queue, worker: Simulation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [GOOD, BAD, GOOD], name="three")
    assert batch.state is BatchState.RUNNING
    assert batch.progress == (0, 3)

    work_off(worker)

    again = remote.batch(batch.id)
    assert again.state is BatchState.DONE
    assert again.progress == (3, 3)
    assert (again.counts.completed, again.counts.failed, again.counts.cancelled) == (2, 1, 0)
    assert again.counts.left == 0
    assert (again.name, again.task, again.queue) == ("three", "work", "default")
    assert [job.data for job in again.children()] == [GOOD, BAD, GOOD]
    assert [job.data for job in again.children("failed")] == [BAD]


def test_counted_job_owes_nothing_and_expires(queue: Queue, worker: Simulation) -> None:
    batch = queue.map("work", [GOOD])
    work_off(worker)

    (job,) = batch.children()
    assert job.record.owed is None
    assert job.record.attention is None
    assert job.record.expires_s is not None


def test_on_complete_runs_once_when_all_have_ended_and_gets_the_counts(
    queue: Queue, worker: Simulation, remote: RemoteJob, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD, BAD, GOOD], on_complete="summary", name="three")
    assert follower(batch).state is State.WAITING

    let_time_pass(worker, clock, minutes=11)

    told = {"total": 3, "completed": 2, "failed": 1, "cancelled": 0}
    assert runs_of_summary(remote) == [{"id": batch.id, "name": "three", **told}]
    assert follower(batch).attempt == 1


def test_on_complete_does_not_run_before_the_last_has_ended(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    later = Submission(task="work", data=GOOD, delay=10 * MINUTE)
    batch = queue.map("work", [Submission(task="work"), later], on_complete="summary")

    let_time_pass(worker, clock, minutes=8)
    assert batch.refresh().progress == (1, 2)
    assert follower(batch).state is State.WAITING

    let_time_pass(worker, clock, minutes=4)
    assert follower(batch).state is State.COMPLETED


def test_on_complete_has_its_own_data_and_options(queue: Queue, worker: Simulation) -> None:
    wanted = Submission(
        task="summary",
        data={"to": "me"},
        priority=10,
        tenant="us",
        resource="mail",
        retry=Retry(max_attempts=4),
    )
    batch = queue.map("work", [GOOD], on_complete=wanted)
    work_off(worker)

    job = follower(batch)
    assert job.result["to"] == "me"
    assert job.result["batch"]["completed"] == 1
    assert (job.priority, job.tenant, job.resource) == (10, "us", "mail")
    assert job.record.retry == Retry(max_attempts=4)


def test_paused_on_complete_runs_once_it_is_resumed(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD], on_complete="summary")
    follower(batch).pause()
    work_off(worker)
    assert follower(batch).state is State.PAUSED

    follower(batch).resume()
    work_off(worker)
    assert follower(batch).result["batch"]["completed"] == 1


def test_cancelled_on_complete_does_not_run(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD], on_complete="summary")
    follower(batch).cancel()

    let_time_pass(worker, clock, minutes=11)

    assert batch.refresh().state is BatchState.DONE
    assert follower(batch).state is State.CANCELLED


def test_batch_of_nothing_is_done_at_once(
    queue: Queue, worker: Simulation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [], on_complete="summary")
    assert batch.state is BatchState.DONE

    work_off(worker)
    assert [told["total"] for told in runs_of_summary(remote)] == [0]


def test_options_are_each_jobs_and_data_is_added_to_each(queue: Queue) -> None:
    batch = queue.map(
        "work",
        [{"n": 1}, {"n": 2, "size": 9}],
        data={"size": 1},
        retry=Retry(max_attempts=3),
        priority=5,
        tenant="us",
    )

    jobs = list(batch.children())
    assert [job.data for job in jobs] == [{"size": 1, "n": 1}, {"size": 9, "n": 2}]
    assert {(job.priority, job.tenant, job.record.retry) for job in jobs} == {
        (5, "us", Retry(max_attempts=3))
    }


def test_message_received_twice_counts_once(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD, BAD])
    address = Address("default", Channel.NORMAL)
    received: list[Received] = installation.messages.receive(
        address, limit=10, wait=timedelta(0), hidden=MINUTE
    )
    other = worker_of(installation)
    for one in (worker, other, worker):
        for message in received:
            settlement = one.handler.attend(message)
            if settlement is not None:
                one.settler.add(settlement)
        one.settler.flush()

    assert batch.refresh().progress == (2, 2)
    assert (batch.counts.completed, batch.counts.failed) == (1, 1)


def test_worker_that_dies_before_it_counts_is_made_up_for(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    batch = queue.map("work", [GOOD], on_complete="summary")
    (message,) = worker.receive()
    worker.handler.attend(message)  # and dies before it settles
    installation.messages.delete(message.address, [message.receipt])  # nor does it come back
    assert batch.refresh().progress == (0, 1)

    let_time_pass(worker, clock, minutes=5)

    assert batch.refresh().progress == (1, 1)
    assert follower(batch).state is State.COMPLETED


@pytest.mark.exhaustive
def test_cancel_ends_what_has_not_ended_and_leaves_the_rest(
    queue: Queue, worker: Simulation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [GOOD] * 25, on_complete="summary")
    worker.step()
    ended = batch.refresh().counts.completed
    assert 0 < ended < 25

    batch.cancel()

    assert batch.state is BatchState.DONE
    assert (batch.counts.completed, batch.counts.cancelled) == (ended, 25 - ended)
    work_off(worker)
    assert [told["cancelled"] for told in runs_of_summary(remote)] == [25 - ended]
    assert batch.cancel().counts.cancelled == 25 - ended


def test_retry_runs_failed_and_cancelled_jobs_and_then_on_complete_again(
    queue: Queue, worker: Simulation, installation: Installation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [GOOD, BAD, GOOD, BAD], on_complete="summary")
    next(iter(batch.children())).cancel()
    work_off(worker)
    first = follower(batch)
    assert (batch.counts.completed, batch.counts.failed, batch.counts.cancelled) == (1, 2, 1)

    mended = worker_of(installation, failing=False)
    batch.retry(retry=Retry(max_attempts=2))
    assert batch.state is BatchState.RUNNING
    assert batch.progress == (1, 4)
    work_off(mended)

    assert batch.refresh().counts.completed == 4
    assert follower(batch).id != first.id
    assert [told["completed"] for told in runs_of_summary(remote)] == [1, 4]
    assert {job.record.retry for job in batch.children()} == {None, Retry(max_attempts=2)}


def test_retry_before_the_batch_is_complete_runs_on_complete_once(
    queue: Queue, worker: Simulation, installation: Installation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [BAD, GOOD], on_complete="summary")
    slow = list(batch.children())[1].pause()
    work_off(worker)
    assert batch.refresh().progress == (1, 2)

    mended = worker_of(installation, failing=False)
    batch.retry()
    work_off(mended)
    assert runs_of_summary(remote) == []

    slow.resume()
    work_off(mended)
    assert [told["completed"] for told in runs_of_summary(remote)] == [2]


def test_retry_of_nothing_does_nothing(
    queue: Queue, worker: Simulation, remote: RemoteJob, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD], on_complete="summary")
    work_off(worker)

    batch.retry()
    let_time_pass(worker, clock, minutes=11)

    assert batch.refresh().state is BatchState.DONE
    assert len(runs_of_summary(remote)) == 1


def test_one_job_restarted_by_itself_is_counted_again(
    queue: Queue, worker: Simulation, installation: Installation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [GOOD, BAD], on_complete="summary")
    work_off(worker)
    (failed,) = batch.refresh().children("failed")

    failed.restart()
    assert batch.refresh().progress == (1, 2)
    work_off(worker_of(installation, failing=False))

    assert (batch.refresh().counts.completed, batch.counts.failed) == (2, 0)
    assert [told["failed"] for told in runs_of_summary(remote)] == [1, 0]


def test_restarted_job_that_depends_on_others_is_counted_again(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    first = queue.submit("work", data=BAD)
    batch = queue.map("work", [Submission(task="work", depends=[first])])
    work_off(worker)
    assert batch.refresh().counts.cancelled == 1

    batch.retry()
    work_off(worker_of(installation, failing=False))

    assert (batch.refresh().counts.completed, batch.counts.cancelled) == (1, 0)


def test_removed_job_stays_counted(queue: Queue, worker: Simulation) -> None:
    batch = queue.map("work", [GOOD, GOOD])
    work_off(worker)
    next(iter(batch.children())).remove()

    assert batch.refresh().progress == (2, 2)
    assert len(list(batch.children())) == 1


def test_removed_on_complete_is_made_again_by_a_retry(
    queue: Queue, worker: Simulation, installation: Installation, remote: RemoteJob
) -> None:
    batch = queue.map("work", [BAD], on_complete="summary")
    work_off(worker)
    follower(batch).remove()
    assert batch.refresh().on_complete is None

    batch.retry()
    work_off(worker_of(installation, failing=False))

    assert [told["completed"] for told in runs_of_summary(remote)] == [1]


def test_wait_returns_when_all_have_ended_and_says_when_they_have_not(
    queue: Queue, worker: Simulation
) -> None:
    batch = queue.map("work", [GOOD, BAD])

    with pytest.raises(WaitTimeout, match="0 of 2 have ended"):
        batch.wait(5)
    work_off(worker)
    assert batch.wait(5).state is BatchState.DONE


def test_batch_kept_no_longer_lets_its_jobs_end_and_cancels_on_complete(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    batch = queue.map("work", [GOOD], on_complete="summary")
    waiting = follower(batch)
    erase_batch(batch, installation)

    let_time_pass(worker, clock, minutes=11)

    assert waiting.refresh().state is State.CANCELLED
    with pytest.raises(BatchNotFound, match="expired"):
        batch.refresh()
    (done,) = RemoteJob(installation).jobs(state=State.COMPLETED)
    assert done.record.owed is None


def erase_batch(batch: Batch, installation: Installation) -> None:
    """What DynamoDB does to items that have expired."""
    partition = partition_of_batch(batch.id)
    items = [
        one for prefix in ("batch", "page") for one in installation.store.items(partition, prefix)
    ]
    assert len(items) == 1 + SHARDS + 2, "the batch, its counters, its follower, its page"
    for name, item in items:
        assert Field.EXPIRES in item
        installation.store.transact([Erase(key=Key(partition, name))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": {"a": 1}}, "give 's3://bucket/prefix/'"),
        ({"source": 5}, "give 's3://bucket/prefix/'"),
        ({"source": [1, 2], "data": {"a": 1}}, "item 0: 1 is not a dict"),
        ({"source": [{"a": 1}], "data": "x"}, "data shared by all children must be a dict"),
        ({"source": [{"a": 1}, {"a": float("nan")}]}, "item 1: data cannot be written as JSON"),
        ({"source": [], "name": ""}, "use text of 1 to 255 characters"),
        ({"source": [], "priority": "hihg"}, "priority='hihg'"),
        ({"source": [Submission(task="summary")]}, "item 0: its task is 'summary'"),
        ({"source": [Submission(task="work", idempotency_key="k")]}, "leave it out"),
        ({"source": [Submission(task="work")], "priority": 3}, "leave those out of map"),
        (
            {"source": [Submission(task="work", delay=timedelta(days=300))]},
            "due more than 182 days",
        ),
        ({"source": [], "on_complete": 7}, "give a task's name, or a Submission"),
        (
            {"source": [], "on_complete": Submission(task="summary", delay=MINUTE)},
            "leave the rest out",
        ),
        (
            {"source": [], "on_complete": Submission(task="summary", data={"batch": 1})},
            "which will hold the counts",
        ),
        (
            {"source": [], "on_complete": Submission(task="summary", data={"a": "x" * 4000})},
            "longer than 3072 bytes",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(
    remote: RemoteJob, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        remote.queue().map("work", **arguments)
    assert remote.jobs() == []


@pytest.mark.parametrize("arguments", [{"task": "wrok"}, {"on_complete": "sumary"}])
def test_unknown_task_is_refused(remote: RemoteJob, arguments: dict[str, Any]) -> None:
    with pytest.raises(UnknownTask):
        remote.queue().map(**{"task": "work", "source": [GOOD], **arguments})
    assert remote.jobs() == []


def test_a_missing_batch_and_a_malformed_id_give_different_errors(
    remote: RemoteJob, queue: Queue
) -> None:
    with pytest.raises(InvalidName, match="as map gave it"):
        remote.batch(queue.submit("work").id)
    with pytest.raises(BatchNotFound):
        remote.batch("b-01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(InvalidName, match="use one of"):
        queue.map("work", []).children("done")


def test_nothing_is_left_for_the_scheduler_after_a_batch(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    queue.map("work", [GOOD, GOOD], on_complete="summary")
    work_off(worker)
    clock.advance(timedelta(hours=1))

    assert sum(tick(installation).values()) == 0


def test_completed_job_of_a_batch_cannot_be_restarted(queue: Queue, worker: Simulation) -> None:
    batch = queue.map("work", [GOOD])
    work_off(worker)

    with pytest.raises(CommandRefused):
        next(iter(batch.children())).restart()
    assert batch.refresh().progress == (1, 1)
