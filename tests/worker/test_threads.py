"""The worker with its threads, in memory and in real time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, Queue, RunningJob, State, Submission
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.priority import Lane, Priority
from remotejob.ports import Address, Channel, Installation
from remotejob.tasks import Registry
from remotejob.worker.worker import Worker, WorkerOptions
from tests.end_to_end.waiting import until
from tests.systems import installation_in_real_time

SECOND = timedelta(seconds=1)
LANES = [Address("default", Channel(lane.value)) for lane in Lane]


class HastyClock(SystemClock):
    """The machine's clock, by which more time can have passed."""

    def __init__(self) -> None:
        self.skipped = timedelta(0)

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped.total_seconds()

    def passed(self, span: timedelta) -> bool:
        self.skipped += span
        return True


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
def installation(clock: HastyClock) -> Installation:
    return replace(installation_in_real_time(), clock=clock)


@contextmanager
def working(installation: Installation, tasks: Registry, *, concurrency: int) -> Iterator[Worker]:
    options = WorkerOptions(
        queue="default", name="threads", concurrency=concurrency, grace=timedelta(seconds=30)
    )
    worker = Worker(installation, tasks, options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        # the second time for the polls that are still open
        worker.stop()
        worker.stop()
        thread.join()


def test_tasks_that_end_their_thread_do_not_end_the_worker(
    installation: Installation, queue: Queue, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> str:
        if job.data == "poison":
            raise KeyboardInterrupt
        return "done"

    with working(installation, tasks, concurrency=1):
        for _ in range(3):
            assert queue.submit("work", data="poison").wait(30).state is State.FAILED
        assert queue.submit("work").wait(30).result == "done"


def test_as_many_jobs_run_at_a_time_as_its_concurrency_says(
    installation: Installation, queue: Queue, tasks: Registry
) -> None:
    together = threading.Barrier(3, timeout=30)
    at_work, most, counting = 0, 0, threading.Lock()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        nonlocal at_work, most
        with counting:
            at_work += 1
            most = max(most, at_work)
        together.wait()
        with counting:
            at_work -= 1

    with working(installation, tasks, concurrency=3):
        jobs = queue.submit_many([Submission(task="work")] * 9)
        assert {job.wait(60).state for job in jobs} == {State.COMPLETED}
    assert most == 3


def test_every_lane_is_served_and_every_message_deleted(
    installation: Installation, queue: Queue, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: job.priority)
    with working(installation, tasks, concurrency=4):
        jobs = queue.submit_many(
            Submission(task="work", priority=priority)
            for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW) * 50
        )
        assert all(job.wait(30).state is State.COMPLETED for job in jobs)
        until(
            lambda: all(installation.messages.depth(lane) == _EMPTY for lane in LANES),
            what="the end of every message",
        )


def test_quick_jobs_fetched_ahead_of_a_long_one_are_given_back(
    installation: Installation, queue: Queue, tasks: Registry, clock: HastyClock
) -> None:
    over = threading.Event()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == "long":
            over.wait()

    try:
        with working(installation, tasks, concurrency=1):
            for job in queue.submit_many([Submission(task="work")] * 60):
                job.wait(30)
            long = queue.submit("work", data="long")
            until(lambda: long.refresh().state is State.RUNNING, what="the long job's beginning")
            quick = queue.submit_many([Submission(task="work")] * 5)
            until(lambda: _visible(installation) == 0, what="their messages, fetched ahead")
            # nobody else could have them, were they held until the long job's end
            until(
                lambda: clock.passed(SECOND) and _visible(installation) == len(quick),
                what="their messages, visible",
            )
            over.set()
            assert all(job.wait(30).state is State.COMPLETED for job in quick)
    finally:
        over.set()


@pytest.mark.exhaustive
def test_a_worker_whose_tasks_never_return_stops(
    installation: Installation,
    queue: Queue,
    tasks: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = threading.Event()
    monkeypatch.setattr("remotejob.worker.lifecycle.watchdog._HOPELESS", 0.0)
    monkeypatch.setattr("remotejob.worker.messages.heartbeats._UNWINDING", timedelta(0))
    tasks.task("work", timeout=timedelta(milliseconds=50))(lambda job: never.wait())
    options = WorkerOptions(
        queue="default", name="stuck", concurrency=1, grace=timedelta(seconds=0)
    )
    worker = Worker(installation, tasks, options)
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(worker.run()))
    thread.start()
    job: Job = queue.submit("work").wait(30)
    worker_stopped = until(lambda: not thread.is_alive(), what="the worker's end")
    never.set()

    assert worker_stopped
    assert job.state is State.FAILED
    assert job.errors[-1].kind == "TimedOut"
    assert clean == [False], "the process must exit: a thread is left"


def _visible(installation: Installation) -> int:
    return sum(installation.messages.depth(lane).visible for lane in LANES)


_EMPTY = MemoryMessages(SystemClock()).depth(LANES[0])
