"""Waiting for jobs, and keeping them alive, in real time and in memory."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, State
from remotejob.domain.priority import Priority
from remotejob.ports import Installation
from tests.end_to_end.waiting import until
from tests.systems import installation_in_real_time

LEASE = timedelta(milliseconds=300)


@pytest.fixture(autouse=True)
def _each_lane_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    # a job waits for as long as the lanes before its own are watched
    monkeypatch.setattr("remotejob.manual.holder._LOOK", timedelta(milliseconds=20))


@pytest.fixture
def installation() -> Installation:
    return installation_in_real_time(queues={"default": ("work", "other")}, lease=LEASE)


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


def hands() -> set[threading.Thread]:
    # not by number: a thread that ends leaves its own to the next
    return {thread for thread in threading.enumerate() if thread.name == "job-holder"}


@pytest.mark.exhaustive
def test_one_thread_keeps_all_jobs_alive_and_ends_with_the_last_of_them(
    installation: Installation,
) -> None:
    before = hands()
    system = RemoteJob(installation)
    jobs = [system.queue().submit("work") for _ in range(3)]
    taken = system.queue().get_work(max_jobs=2) + system.queue().get_work()
    first = {job.id: job.lease_until for job in taken}

    assert len(hands() - before) == 1
    # several leases long
    until(
        lambda: all(job.lease_until - first[job.id] > 5 * LEASE for job in taken),
        what="leases extended",
    )
    for job in taken:
        job.done()

    assert [job.refresh().state for job in jobs] == [State.COMPLETED] * 3
    assert all(job.record.crashes == 0 for job in jobs)
    until(lambda: hands() <= before, what="the thread's end")


def test_after_a_pause_jobs_are_kept_alive_again(queue: Queue) -> None:
    before = hands()
    queue.submit("work")
    queue.get_work()[0].done()
    until(lambda: hands() <= before, what="the thread's end")
    queue.submit("work")

    (job,) = queue.get_work()

    first = job.lease_until
    until(lambda: job.lease_until - first > 3 * LEASE, what="leases extended")
    job.done()


def test_a_silent_job_is_failed_by_the_thread(queue: Queue) -> None:
    submitted = queue.submit("work")
    (job,) = queue.get_work(work_timeout=LEASE)

    assert submitted.wait(30).state is State.FAILED
    assert submitted.errors[-1].kind == "TimedOut"
    assert job.ended


@pytest.mark.parametrize("priority", [Priority.HIGH, Priority.NORMAL, Priority.LOW])
def test_a_job_submitted_while_somebody_waits_is_taken_from_any_lane(
    queue: Queue, priority: Priority
) -> None:
    found = []
    waiting = threading.Thread(
        target=lambda: found.extend(queue.get_work(wait=timedelta(seconds=60)))
    )
    waiting.start()
    submitted = queue.submit("work", priority=priority)
    waiting.join(30)

    assert [job.id for job in found] == [submitted.id]
    found[0].done()


def test_a_message_of_another_task_does_not_end_the_wait(queue: Queue) -> None:
    found = []
    waiting = threading.Thread(
        target=lambda: found.extend(queue.get_work("work", wait=timedelta(seconds=60)))
    )
    waiting.start()
    queue.submit("other")
    submitted = queue.submit("work")
    waiting.join(30)

    assert [job.id for job in found] == [submitted.id]
    found[0].done()


def test_a_wait_for_nothing_ends(queue: Queue) -> None:
    assert queue.get_work(wait=timedelta(milliseconds=20)) == []
    assert queue.next("pending", wait=timedelta(milliseconds=20)) is None
    assert queue.next("completed", wait=timedelta(milliseconds=20)) is None


def test_next_returns_what_comes_while_it_waits(queue: Queue) -> None:
    found = []
    waiting = threading.Thread(target=lambda: found.append(queue.next("completed")))
    waiting.start()
    submitted = queue.submit("work")
    with queue.next("pending") as job:
        assert job.id == submitted.id
    waiting.join(30)

    assert [notice.job_id for notice in found] == [submitted.id]
