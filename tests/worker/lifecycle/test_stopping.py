"""A worker is asked to stop: softly, normally, at once, and more and more urgently."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from remotejob import Queue, State, Submission, Urgency
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing.interception import intercepted
from tests.end_to_end.waiting import until
from tests.worker.lifecycle.working import Gate, Holding, end_polls, visible, working

NOTHING = timedelta(0)


@pytest.fixture
def hold(tasks: Registry) -> Iterator[Holding]:
    held = Holding()
    tasks.task("work")(held)
    yield held
    held.go.set()


@pytest.mark.parametrize(
    ("before", "asked", "then"),
    [
        (None, Urgency.SOFT, Urgency.SOFT),
        (None, Urgency.HARD, Urgency.HARD),
        (Urgency.SOFT, Urgency.SOFT, Urgency.SOFT),
        (Urgency.SOFT, Urgency.NORMAL, Urgency.NORMAL),
        (Urgency.NORMAL, Urgency.SOFT, Urgency.NORMAL),
        (Urgency.NORMAL, Urgency.NORMAL, Urgency.HARD),
        (Urgency.HARD, Urgency.SOFT, Urgency.HARD),
        (Urgency.HARD, Urgency.NORMAL, Urgency.HARD),
    ],
)
def test_urgency_grows_and_never_falls(
    before: Urgency | None, asked: Urgency, then: Urgency
) -> None:
    assert asked.after(before) is then


def test_softly_stopped_it_finishes_what_has_begun_however_long(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    job = queue.submit("work")
    with working(installation, tasks, grace=NOTHING) as worker:
        hold.await_begun()
        worker.stop(Urgency.SOFT)
        until(worker.worker._stopping.is_set, what="that it heard")
        later = queue.submit("work", data="quick")
        end_polls(installation)
        until(lambda: visible(installation) == 1, what="what came later, left or given back")
        worker.stop(Urgency.SOFT)
        assert job.refresh().state is State.RUNNING
        hold.go.set()

        assert worker.ended()
    assert job.refresh().state is State.COMPLETED
    assert later.refresh().state is State.READY
    assert visible(installation) == 1


def test_softly_stopped_it_can_be_hurried(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    job = queue.submit("work")
    with working(installation, tasks, grace=NOTHING) as worker:
        hold.await_begun()
        worker.stop(Urgency.SOFT)
        worker.stop(Urgency.NORMAL)
        worker.ended()
    assert (job.refresh().state, job.attempt, job.record.releases) == (State.READY, 0, 1)
    assert visible(installation) == 1


@pytest.mark.parametrize("urgency", [Urgency.SOFT, Urgency.NORMAL, Urgency.HARD])
def test_what_has_not_begun_is_given_back_at_once(
    installation: Installation,
    queue: Queue,
    tasks: Registry,
    hold: Holding,
    monkeypatch: pytest.MonkeyPatch,
    urgency: Urgency,
) -> None:
    # else it would be given back soon in any case
    monkeypatch.setattr("remotejob.worker.worker._LONGEST_PREFETCH", 1000.0)
    with working(installation, tasks) as worker:
        # so that it knows how quick they are, and fetches some ahead
        for job in queue.submit_many([Submission(task="work", data="quick")] * 40):
            job.wait(30)
        long = queue.submit("work")
        hold.await_begun()
        quick = queue.submit_many([Submission(task="work", data="quick")] * 5)
        until(lambda: visible(installation) == 0, what="their messages, fetched ahead")

        worker.stop(urgency)
        given_back = len(quick) + (urgency is Urgency.HARD)
        until(lambda: visible(installation) == given_back, what="their messages, visible")
        assert all(job.refresh().state is State.READY for job in quick)
        assert all(job.attempt == 0 for job in quick)
        if urgency is not Urgency.HARD:
            assert long.refresh().state is State.RUNNING


def test_normally_stopped_it_finishes_what_ends_within_the_grace(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    job = queue.submit("work")
    with working(installation, tasks) as worker:
        hold.await_begun()
        worker.stop()
        hold.go.set()
        assert worker.ended()
    assert (job.refresh().state, job.attempt) == (State.COMPLETED, 1)
    assert visible(installation) == 0


def test_stopped_at_once_it_waits_neither_for_jobs_nor_for_polls(
    installation: Installation, queue: Queue, tasks: Registry
) -> None:
    begun, never = threading.Semaphore(0), threading.Event()

    @tasks.task("work")
    def work(_: object) -> None:
        begun.release()
        never.wait()

    jobs = queue.submit_many([Submission(task="work")] * 3)
    with working(installation, tasks, concurrency=3) as worker:
        for _ in jobs:
            assert begun.acquire(timeout=30)
        worker.stop(Urgency.HARD)
        assert worker.clean.result(10) is False, "threads are left: the process must exit"
    never.set()
    assert [job.refresh().state for job in jobs] == [State.READY] * 3
    assert [(job.attempt, job.record.releases) for job in jobs] == [(0, 1)] * 3
    assert visible(installation) == 3


def test_job_that_is_being_claimed_is_given_back_too(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    gate = Gate(lambda name, arguments: name == "store.update")
    job = queue.submit("work")
    with working(intercepted(installation, gate), tasks) as worker:
        gate.await_reached()
        worker.stop(Urgency.HARD)
        # only now, when the worker has long found nothing that runs
        threading.Timer(0.3, gate.opened.set).start()
        worker.clean.result(30)
    assert (job.refresh().state, job.attempt, job.record.crashes) == (State.READY, 0, 0)
    assert visible(installation) == 1


def test_message_that_a_poll_brings_during_the_stop_is_given_back(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    with working(installation, tasks) as worker:
        running = queue.submit("work")
        hold.await_begun()
        worker.stop()
        until(worker.worker._stopping.is_set, what="its polls, the last")
        # polls of empty lanes are still open
        late = queue.submit("work", data="quick")
        until(lambda: visible(installation) == 1, what="the late message")
        hold.go.set()
        assert worker.ended()
    assert running.refresh().state is State.COMPLETED
    assert (late.refresh().state, late.attempt) == (State.READY, 0)
    assert visible(installation) == 1


def test_it_stops_in_time_when_nothing_answers_any_more(
    installation: Installation,
    queue: Queue,
    tasks: Registry,
    hold: Holding,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remotejob.worker.worker._GIVING_BACK", 0.3)
    monkeypatch.setattr("remotejob.worker.worker._GOODBYE", 0.2)
    shut = threading.Event()
    gate = Gate(lambda name, arguments: shut.is_set())
    queue.submit("work")
    with working(intercepted(installation, gate), tasks, grace=NOTHING) as worker:
        hold.await_begun()
        shut.set()
        worker.stop(Urgency.HARD)
        began = time.monotonic()
        try:
            assert worker.clean.result(30) is False
            assert time.monotonic() - began < 5
        finally:
            gate.opened.set()


def test_stop_is_the_same_before_it_runs(
    installation: Installation, queue: Queue, tasks: Registry, hold: Holding
) -> None:
    with working(installation, tasks) as worker:
        worker.stop(Urgency.SOFT)
        assert worker.ended()
