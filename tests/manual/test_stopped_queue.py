"""Whoever takes jobs by hand obeys the switch of the queue, too."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

from remotejob import Queue, RemoteJob, State, Submission
from remotejob.backends.clock import SystemClock
from remotejob.jobs.coordination.queue_switch import READ_EVERY
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from tests.end_to_end.waiting import until
from tests.systems import installation_in_real_time

NEVER = timedelta(days=1)


def test_none_is_taken_until_the_queue_is_started(queue: Queue, clock: FakeClock) -> None:
    jobs = queue.submit_many([Submission("work") for _ in range(2)])
    [taken] = queue.get_work()
    queue.stop()
    clock.advance(READ_EVERY)

    assert queue.get_work() == []
    before_ms = clock.now_ms()
    assert queue.next("pending", wait=timedelta(seconds=7)) is None
    assert clock.now_ms() - before_ms == 7000, "it waits as it would for a job"
    taken.done("goes on")

    queue.start()
    clock.advance(READ_EVERY)
    [second] = queue.get_work()
    assert {taken.id, second.id} == {job.id for job in jobs}


def test_a_wait_without_an_end_goes_on_once_the_queue_is_started(
    installation: Installation, queue: Queue, clock: FakeClock, monkeypatch: Any
) -> None:
    job = queue.submit("work")
    queue.stop()
    slept, sleep = 0, clock.sleep

    def slept_through(span: timedelta) -> None:
        nonlocal slept
        slept += 1
        assert slept < 1000, "it never looks again"
        if slept == 90:
            RemoteJob(installation).queue().start()
        sleep(span)

    monkeypatch.setattr(clock, "sleep", slept_through)
    taken = queue.next("pending")
    assert taken.id == job.id
    assert 90 <= slept <= 150
    taken.done(None)


class Ahead(SystemClock):
    """The machine's clock, on which time can be made to pass."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


def test_a_processor_begins_none_gives_back_what_it_took_and_goes_on_after_the_start() -> None:
    ahead = Ahead()
    installation = replace(installation_in_real_time(), clock=ahead)
    queue = RemoteJob(installation).queue()
    jobs = queue.submit_many([Submission("work") for _ in range(3)])
    go, began = threading.Event(), threading.Semaphore(0)

    def function(job: TakenJob) -> str:
        began.release()
        assert go.wait(60)
        return "done"

    def states() -> list[State]:
        return sorted(job.refresh().state for job in jobs)

    with queue.process_jobs("work", function, prefetch=2, poll_interval=NEVER) as processor:
        assert began.acquire(timeout=60)
        until(lambda: processor.length() == 2, what="what it prefetches")
        queue.stop()
        ahead.ahead_s += READ_EVERY.total_seconds()
        processor.trigger()
        until(lambda: processor.length() == 0, what="what it gives back")
        until(lambda: states() == [State.READY, State.READY, State.RUNNING], what="their states")
        go.set()
        until(lambda: State.COMPLETED in states(), what="the end of the one that had begun")
        processor.trigger()
        assert states() == [State.COMPLETED, State.READY, State.READY]

        queue.start()
        ahead.ahead_s += READ_EVERY.total_seconds()
        processor.trigger()
        until(lambda: states() == [State.COMPLETED] * 3, what="the others")


def test_a_call_that_ends_after_the_stop_begins_no_prefetched_job() -> None:
    ahead = Ahead()
    installation = replace(installation_in_real_time(), clock=ahead)
    queue = RemoteJob(installation).queue()
    queue.submit_many([Submission("work") for _ in range(2)])
    ran: list[str] = []

    def function(job: TakenJob) -> None:
        ran.append(job.id)
        queue.stop()
        ahead.ahead_s += READ_EVERY.total_seconds()

    with queue.process_jobs("work", function, prefetch=1, poll_interval=NEVER) as processor:
        until(lambda: len(queue.jobs(state=State.COMPLETED)) == 1, what="the end of the first")
        until(lambda: len(queue.jobs(state=State.READY)) == 1, what="the second, given back")
        assert processor.idle()
    assert len(ran) == 1
