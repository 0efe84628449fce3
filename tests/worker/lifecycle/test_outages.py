"""A worker that loses AWS, or its credentials, for a while: it carries on when they return."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import AccessProblem, RemoteJob, Retry, RunningJob, State, Submission
from remotejob.domain.errors import LeaseLost
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.run import Run
from tests.end_to_end.waiting import PATIENCE
from tests.worker.lifecycle.working import LANES, Holding, awaited, ended, working

T = TypeVar("T")

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
SHORT_LEASE = timedelta(seconds=1.5)

EVERYTHING = ("store.", "messages.", "files.")


class Outage:
    """While it lasts, requests whose names begin so fail."""

    def __init__(self, *names: str, problem: Callable[[], Exception] | None = None) -> None:
        self._names = names or EVERYTHING
        self._problem = problem or (lambda: ConnectionError("no route to host"))
        self.lasts = threading.Event()
        self.failed: list[str] = []
        self.asked: list[str] = []

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        self.asked.append(name)
        if self.lasts.is_set() and name.startswith(self._names):
            self.failed.append(name)
            raise self._problem()
        return function()


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.message for line in caplog.records if line.levelno >= logging.WARNING]


# One step at a time, in simulated time


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _begun(worker: Simulation) -> Run:
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    return run


def test_failed_heartbeat_is_tried_again_ever_later_and_not_each_second(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    system, outage = memory_installation(clock, lease=LEASE), Outage("store.update")
    worker = Simulation(installation=intercepted(system, outage))
    worker.tasks.task("work")(lambda job: None)
    RemoteJob(system).queue().submit("work")
    run = _begun(worker)
    with worker.runs.holding(run):
        outage.lasts.set()
        for _ in range(50):
            clock.advance(SECOND)
            worker.beat()
        assert 5 <= len(outage.failed) <= 14
        assert run.stop_signal.reason is None, "the lease lasts yet"
        assert 1 <= len(_lines(caplog)) <= 3

        outage.lasts.clear()
        for _ in range(16):
            clock.advance(timedelta(milliseconds=600))
            worker.beat()
        run.check()
    assert "can extend a lease again" in caplog.text


def test_run_whose_lease_ends_during_the_outage_stops_and_only_says_so(clock: FakeClock) -> None:
    system, outage = memory_installation(clock, lease=LEASE), Outage("store.update")
    worker = Simulation(installation=intercepted(system, outage))
    worker.tasks.task("work")(lambda job: None)
    job = RemoteJob(system).queue().submit("work")
    run = _begun(worker)
    with worker.runs.holding(run):
        outage.lasts.set()
        for _ in range(59):
            clock.advance(SECOND)
            worker.beat()
        lasted = run.stop_signal.reason is None
        assert lasted
        outage.lasts.clear()
        outage.asked.clear()
        for _ in range(5):
            clock.advance(SECOND)
            worker.beat()
        assert isinstance(run.stop_signal.reason, LeaseLost)
        assert outage.asked == ["store.update"]
    assert job.refresh().state is State.RUNNING, "nothing of it was committed"

    other = Simulation(installation=system, worker="w2")
    other.tasks.task("work")(lambda job: "by another")
    clock.advance(LEASE)
    assert other.step() == 1, "the message was not lost"
    clock.advance(LEASE)
    other.step()
    assert (job.refresh().state, job.result) == (State.COMPLETED, "by another")
    assert (job.record.crashes, job.record.lost_leases) == (0, 1)


def test_outcome_the_run_could_not_prove_to_own_is_not_committed(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    system, outage = memory_installation(clock, lease=LEASE), Outage("store.")
    worker = Simulation(installation=intercepted(system, outage))
    runs: list[str] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        runs.append(job.run_id)
        if len(runs) == 1:
            outage.lasts.set()
        return job.run_id

    job = RemoteJob(system).queue().submit("work")
    (message,) = worker.receive()
    began = clock.monotonic()
    with pytest.raises(ConnectionError):
        worker.handler.attend(message)
    assert clock.monotonic() - began <= LEASE.total_seconds(), "it tries while the lease lasts"
    assert len(outage.failed) >= 5
    assert len(_lines(caplog)) <= 4
    assert job.refresh().state is State.RUNNING

    outage.lasts.clear()
    for _ in range(5):
        clock.advance(LEASE)
        worker.step()
    assert job.refresh().state is State.COMPLETED
    assert job.result == runs[1] != runs[0]
    assert (job.record.crashes, job.record.failures) == (1, 0)


# The worker with its threads, in real time and with a short lease


@pytest.fixture
def short(installation: Installation) -> Installation:
    return replace(installation, lease=SHORT_LEASE)


@pytest.mark.parametrize(
    "names",
    [
        *(
            pytest.param((port,), id=name, marks=pytest.mark.exhaustive)
            for port, name in (("store.", "dynamodb"), ("messages.", "sqs"), ("files.", "s3"))
        ),
        pytest.param(EVERYTHING, id="everything"),
    ],
)
def test_worker_carries_on_when_what_it_lost_returns(
    short: Installation,
    tasks: Registry,
    caplog: pytest.LogCaptureFixture,
    names: tuple[str, ...],
) -> None:
    queue, outage = RemoteJob(short).queue(), Outage(*names)

    @tasks.task("work", retry=_often())
    def work(job: RunningJob) -> str:
        job.output("a.txt", b"a")
        return "done"

    with working(intercepted(short, outage), tasks, concurrency=2) as worker:
        assert queue.submit("work").wait(30).state is State.COMPLETED
        outage.lasts.set()
        jobs = queue.submit_many([Submission(task="work")] * 4)
        awaited(short, lambda: len(outage.failed) >= 4, what="failures")
        outage.lasts.clear()

        for job in jobs:
            assert ended(job, short).result == "done"
        awaited(short, lambda: _held(short) == 0, what="the end of every message")
        assert not worker.clean.done()
    problems = [line for line in _lines(caplog) if not line.startswith("run failed")]
    assert len(problems) <= 12, "no storm"


@pytest.mark.exhaustive
def test_worker_that_loses_its_credentials_carries_on_with_new_ones(
    short: Installation, tasks: Registry
) -> None:
    queue = RemoteJob(short).queue()
    outage = Outage(problem=lambda: AccessProblem("the security token has expired"))
    tasks.task("work")(lambda job: "done")
    with working(intercepted(short, outage), tasks):
        assert queue.submit("work").wait(30).result == "done"
        outage.lasts.set()
        job = queue.submit("work")
        awaited(short, lambda: len(outage.failed) >= 4, what="failures")
        outage.lasts.clear()
        assert ended(job, short).result == "done"


def test_worker_that_may_not_receive_says_so_where_why_finds_it(
    short: Installation, tasks: Registry
) -> None:
    remote = RemoteJob(short)
    outage = Outage("messages.receive", problem=lambda: AccessProblem("may not receive; add it"))
    outage.lasts.set()
    tasks.task("work")(lambda job: "done")
    with working(intercepted(short, outage), tasks):
        job = remote.queue().submit("work")
        awaited(
            short, lambda: any(one.shortage for one in remote.workers()), what="a sign that says so"
        )
        assert "may not receive; add it" in job.why().text
        outage.lasts.clear()
        assert ended(job, short).result == "done"
        awaited(short, lambda: remote.workers()[0].takes_jobs, what="a sign that it may")


@pytest.mark.exhaustive
def test_job_that_runs_through_a_long_outage_is_run_again_and_commits_once(
    short: Installation, tasks: Registry
) -> None:
    queue, outage, hold = RemoteJob(short).queue(), Outage(), Holding()
    tasks.task("work")(hold)
    with working(intercepted(short, outage), tasks):
        job = queue.submit("work")
        hold.await_begun()
        outage.lasts.set()
        # the run finds out by itself that its lease has ended
        assert hold.stopped.wait(PATIENCE)
        outage.lasts.clear()
        hold.go.set()
        assert ended(job, short).state is State.COMPLETED
    assert (job.record.crashes, job.record.lost_leases, job.record.failures) == (0, 1, 0)


def _often() -> Retry:
    return Retry(max_attempts=20, wait=timedelta(milliseconds=100))


def _held(installation: Installation) -> int:
    depths = [installation.messages.depth(lane) for lane in LANES]
    return sum(depth.visible + depth.hidden + depth.delayed for depth in depths)
