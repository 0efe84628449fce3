"""A worker obeys the switch of its queue within a minute, at a read for each minute."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import RemoteJob, RunningJob, State, Submission
from remotejob.backends.clock import SystemClock
from remotejob.jobs.coordination.queue_switch import READ_EVERY
from remotejob.jobs.queries.workers import STOPPED
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, memory_installation
from remotejob.testing.interception import intercepted
from remotejob.worker.lifecycle.stopped_queue import SwitchWatch
from tests.systems import installation_in_real_time
from tests.worker.lifecycle.working import Holding, awaited, ended, visible, working

T = TypeVar("T")

SECOND = timedelta(seconds=1)


class Ahead(SystemClock):
    """The machine's clock, on which time can be made to pass."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Reads:
    """Counts the reads of a watch, and fails them during an outage."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.outage = False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        self.counts[name] += 1
        if self.outage:
            raise ConnectionError("nobody answers")
        return function()


def at_once(read: Callable[[], None]) -> None:
    read()


def test_it_is_read_once_a_minute_whatever_there_is_to_do(clock: FakeClock) -> None:
    installation = memory_installation(clock)
    reads = Reads()
    watch = SwitchWatch(intercepted(installation, reads), "default")
    for _ in range(601):
        watch.read_if_due(at_once)
        clock.advance(SECOND)
    assert reads.counts == {"store.item": 1 + 600 // 50}


def test_it_is_obeyed_within_a_minute_and_held_in_an_outage(clock: FakeClock) -> None:
    installation = memory_installation(clock)
    reads, queue = Reads(), RemoteJob(installation).queue()
    watch = SwitchWatch(intercepted(installation, reads), "default")
    watch.read()

    def shortage_later() -> str | None:
        clock.advance(READ_EVERY)
        watch.read_if_due(at_once)
        return watch.shortage

    queue.stop()
    stopped = shortage_later()
    assert stopped is not None
    assert stopped.endswith("its jobs wait. To go on: remotejob start default")

    queue.start()
    reads.outage = True
    assert shortage_later() == stopped, "what was read last"
    reads.outage = False
    assert shortage_later() is None
    assert timedelta(minutes=1) > READ_EVERY


@pytest.fixture
def ahead() -> Ahead:
    return Ahead()


@pytest.fixture
def system(ahead: Ahead) -> Installation:
    return replace(installation_in_real_time(), clock=ahead)


def test_begun_jobs_go_on_and_those_that_have_not_begun_are_given_back_and_run_after_the_start(
    system: Installation, ahead: Ahead, tasks: Registry
) -> None:
    holding, remote = Holding(), RemoteJob(system)
    tasks.task("work")(holding)
    queue = remote.queue()
    with working(system, tasks):
        # quick ones first: the worker prefetches once it knows that jobs are quick
        for job in queue.submit_many([Submission("work", data="quick")] * 3):
            ended(job, system)
        begun = queue.submit("work")
        holding.await_begun()
        others = queue.submit_many([Submission("work", data="quick")] * 5)
        queue.stop()
        ahead.ahead_s += READ_EVERY.total_seconds()
        awaited(
            system,
            lambda: any(STOPPED in status.short_of for status in remote.workers()),
            what="a sign that says it",
        )
        awaited(system, lambda: visible(system) == 5, what="what it gives back")

        holding.go.set()
        assert ended(begun, system).state is State.COMPLETED
        assert {job.refresh().state for job in others} == {State.READY}

        queue.start()
        ahead.ahead_s += READ_EVERY.total_seconds()
        assert {ended(job, system).attempt for job in others} == {1}


def test_a_worker_that_comes_to_a_stopped_queue_begins_nothing(
    system: Installation, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    ran = threading.Event()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        ran.set()

    remote = RemoteJob(system)
    job = remote.queue().submit("work")
    remote.queue().stop()
    with working(system, tasks) as made:
        awaited(
            system,
            lambda: any(status.shortage for status in remote.workers()),
            what="a sign that says it",
        )
        made.stop()
        assert made.ended()
    assert not ran.is_set()
    assert job.refresh().state is State.READY
    assert "taking no jobs: queue 'default' is stopped since" in caplog.text
