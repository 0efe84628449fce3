"""The news of how jobs ended: remotejob's `next("completed")`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, InvalidName, JobNotFound, OutputNotFound, Queue, State
from remotejob.client.notices import Notice
from remotejob.domain.errors import InvalidBody
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation

NO_WAIT = timedelta(0)
COMPLETED = Address("default", Channel.COMPLETED)


def told(queue: Queue, status: str) -> Notice | None:
    found = queue.next(status, wait=NO_WAIT)  # type: ignore[call-overload]
    assert found is None or isinstance(found, Notice)
    return found


@pytest.mark.parametrize("status", ["pending", "completed", "failed"])
def test_a_wait_in_seconds_is_refused(queue: Queue, status: str) -> None:
    ask: Any = queue.next
    with pytest.raises(InvalidData, match="wait=1: use a timedelta"):
        ask(status, wait=1)


def test_a_completed_jobs_notice_has_its_outputs(queue: Queue) -> None:
    submitted = queue.submit("work", body=b"in", filename="cat.jpg")
    (job,) = queue.get_work()
    job.output("cat.png", b"png")
    job.done(7)

    notice = queue.next("completed", wait=NO_WAIT)

    assert notice is not None
    assert (notice.job_id, notice.state, notice.error) == (submitted.id, State.COMPLETED, None)
    assert (notice.task, notice.queue, notice.attempt) == ("work", "default", 1)
    assert notice.run_id == job.run_id
    assert notice.finished_at == submitted.refresh().finished_at
    assert notice.job.result == 7
    assert notice.outputs["cat.png"].open().read() == b"png"
    assert notice.open().read() == b"in"
    assert notice.open("cat.png").read() == b"png"
    with pytest.raises(OutputNotFound, match=r"'dog.png'; it has cat\.png"):
        notice.open("dog.png")


def test_notices_of_failed_and_cancelled_jobs_say_what_is_known(queue: Queue) -> None:
    failed = queue.submit("work")
    (job,) = queue.get_work()
    job.fail(ValueError("not a cat"))
    first = told(queue, "failed")
    assert first is not None
    first.acknowledge()
    cancelled = queue.submit("work").cancel()
    second = told(queue, "failed")
    assert second is not None

    assert (first.job_id, first.state, first.error) == (
        failed.id,
        State.FAILED,
        "ValueError: not a cat",
    )
    assert (second.job_id, second.state, second.error) == (cancelled.id, State.CANCELLED, None)
    assert dict(first.outputs) == {}
    with pytest.raises(InvalidBody, match="without a body"):
        first.open()
    assert told(queue, "completed") is None


def test_an_acknowledged_notice_does_not_come_again(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    queue.submit("work")
    worker.step()
    notice = queue.next("completed", wait=NO_WAIT)
    assert notice is not None

    notice.acknowledge()

    clock.advance(timedelta(hours=1))
    assert queue.next("completed", wait=NO_WAIT) is None


def test_an_unacknowledged_notice_comes_again(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    queue.submit("work")
    worker.step()
    first = queue.next("completed", wait=NO_WAIT)
    assert first is not None
    assert queue.next("completed", wait=NO_WAIT) is None

    clock.advance(timedelta(seconds=30))

    again = queue.next("completed", wait=NO_WAIT)
    assert again is not None
    assert (again.job_id, first.receives, again.receives) == (first.job_id, 1, 2)


def test_what_is_no_notice_is_left_and_the_next_one_read(
    queue: Queue,
    worker: Simulation,
    installation: Installation,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bodies = ["{", "[]", "7", '{"v":1}', '{"v":1,"id":"x","task":"t","queue":"q","state":"failed"}']
    installation.messages.send(COMPLETED, [Outgoing(body=body) for body in bodies])
    submitted = queue.submit("work")
    worker.step()

    notice = queue.next("completed", wait=NO_WAIT)
    while notice is None:
        notice = queue.next("completed", wait=NO_WAIT)

    assert notice.job_id == submitted.id
    clock.advance(timedelta(minutes=1))
    notice.acknowledge()
    assert queue.next("completed", wait=NO_WAIT) is None
    assert installation.messages.depth(COMPLETED).hidden == len(bodies), "SQS sets them aside"
    assert "unreadable notice" in caplog.text


def test_a_job_that_is_gone_is_said_to_be(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work")
    worker.step()
    notice = queue.next("completed", wait=NO_WAIT)
    assert notice is not None
    job.refresh().remove()

    with pytest.raises(JobNotFound):
        assert notice.job


@pytest.mark.parametrize("status", ["inprogress", "dead_letter", "", "Completed"])
def test_a_status_without_a_queue_is_refused_naming_those_there_are(
    queue: Queue, status: str
) -> None:
    with pytest.raises(InvalidName, match="use one of pending, completed, failed"):
        told(queue, status)


def test_the_next_pending_job_is_taken(queue: Queue) -> None:
    assert queue.next("pending", wait=NO_WAIT) is None
    submitted, second = queue.submit("work"), queue.submit("work")

    job = queue.next("pending")

    assert job.id == submitted.id
    assert second.refresh().state is State.READY, "one at a time"
    job.acknowledge()
    job.complete(None, [{"key": "output", "body": b"made"}])
    assert submitted.refresh().outputs["output"].open().read() == b"made"
