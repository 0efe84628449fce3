"""Only the run whose claim counts changes its job, whatever an earlier run still sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import pytest

from remotejob import Job, JobCancelled, LeaseLost, Queue, Retry, State
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Address, Channel, Installation, Outgoing, Received
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.settlements import Leave, Settlement
from remotejob.worker.runs.run import Run

T = TypeVar("T")

MOMENT = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
NORMAL = Address("default", Channel.NORMAL)


@pytest.fixture
def job(queue: Queue) -> Job:
    return queue.submit("work", retry=Retry(max_attempts=5))


@pytest.fixture
def workers(installation: Installation, tasks: Registry) -> Callable[[str], Simulation]:
    tasks.task("work")(lambda job: "done")

    def worker(name: str) -> Simulation:
        return Simulation(installation=installation, tasks=tasks, worker=name)

    return worker


def begun(worker: Simulation) -> Run:
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    return run


def settle(worker: Simulation, settlement: Settlement | None) -> None:
    assert settlement is not None
    worker.settler.add(settlement)
    worker.settler.flush()


@pytest.mark.parametrize("end", ["complete", "fail", "give back"])
def test_run_whose_job_another_one_runs_cannot_end_it(
    job: Job, workers: Callable[[str], Simulation], clock: FakeClock, end: str
) -> None:
    first, second = workers("a"), workers("b")
    old = begun(first)
    clock.advance(2 * LEASE)
    new = begun(second)

    settlement: Settlement | None
    match end:
        case "complete":
            settlement = first.handler.complete(old, Completion(result="late"))
        case "fail":
            settlement = first.handler.fail(old, ValueError("late"))
        case _:
            settlement = first.handler.give_back(old, "late")

    assert isinstance(settlement, Leave)
    assert job.refresh().state is State.RUNNING
    assert (job.record.run_id, job.record.failures, job.record.releases) == (new.run_id, 0, 0)
    settle(second, second.handler.complete(new, Completion(result="in time")))
    assert job.refresh().result == "in time"


class Sleepy(FakeClock):
    """The clock of a machine that slept: its monotonic clock did not go on meanwhile."""

    def __init__(self, other: FakeClock) -> None:
        super().__init__()
        self._other, self.slept_s = other, 0.0

    def now_ms(self) -> int:
        return self._other.now_ms()

    def monotonic(self) -> float:
        return self._other.monotonic() - self.slept_s


def test_heartbeat_of_a_machine_that_slept_past_its_lease_revives_no_lease(
    job: Job, installation: Installation, tasks: Registry, clock: FakeClock
) -> None:
    """Somebody may be acting on the end of it at this moment."""
    tasks.task("work")(lambda job: None)
    sleepy = Sleepy(clock)
    worker = Simulation(installation=replace(installation, clock=sleepy), tasks=tasks)
    run = begun(worker)
    clock.advance(LEASE + SECOND)
    sleepy.slept_s = 40.0

    with worker.runs.holding(run):
        worker.beat()

    with pytest.raises(LeaseLost):
        run.check()
    lease_ms = job.refresh().record.lease_ms
    assert lease_ms is None or lease_ms < clock.now_ms()


def test_heartbeat_of_a_machine_that_slept_does_not_extend_the_lease_of_the_run_after_it(
    job: Job, installation: Installation, workers: Callable[[str], Simulation], clock: FakeClock
) -> None:
    sleepy, second = Sleepy(clock), workers("b")
    first = Simulation(installation=replace(installation, clock=sleepy), tasks=second.tasks)
    old = begun(first)
    clock.advance(2 * LEASE)
    sleepy.slept_s = 100.0
    new = begun(second)
    lease_ms = job.refresh().record.lease_ms

    with first.runs.holding(old):
        clock.advance(LEASE / 3)
        first.beat()

    with pytest.raises(LeaseLost):
        old.check()
    assert (job.refresh().record.run_id, job.record.lease_ms) == (new.run_id, lease_ms)


def test_run_whose_job_another_one_had_is_not_told_of_the_cancelling_of_that(
    job: Job, installation: Installation, workers: Callable[[str], Simulation], clock: FakeClock
) -> None:
    """It lost its lease; nobody cancelled it."""
    sleepy, second = Sleepy(clock), workers("b")
    first = Simulation(installation=replace(installation, clock=sleepy), tasks=second.tasks)
    old = begun(first)
    clock.advance(2 * LEASE)
    sleepy.slept_s = 100.0
    begun(second)
    job.cancel()

    with first.runs.holding(old):
        clock.advance(LEASE / 3)
        first.beat()

    with pytest.raises(LeaseLost):
        old.check()


def test_run_whose_job_was_parked_when_its_lock_was_taken_has_lost_its_lease(
    queue: Queue,
    installation: Installation,
    workers: Callable[[str], Simulation],
    clock: FakeClock,
) -> None:
    sleepy, second = Sleepy(clock), workers("b")
    first = Simulation(installation=replace(installation, clock=sleepy), tasks=second.tasks)
    job = queue.submit("work", resource="cat.jpg")
    old = begun(first)
    clock.advance(LEASE / 2)
    other = queue.submit("work", resource="cat.jpg")
    (message,) = second.receive()
    clock.advance(2 * LEASE)
    sleepy.slept_s = 120.0
    assert isinstance(second.handler.begin(message), Run)
    workers("c").step()
    assert other.refresh().state is State.RUNNING
    assert job.refresh().record.parked is not None
    assert job.record.crashes == 1

    with first.runs.holding(old):
        first.beat()

    with pytest.raises(LeaseLost):
        old.check()


def test_silent_run_whose_heartbeat_arrives_before_the_claim_of_another_keeps_its_job(
    job: Job, installation: Installation, tasks: Registry, clock: FakeClock
) -> None:
    """The other worker has seen the ended lease; then the heartbeat comes, sent in time."""
    arrives: list[Callable[[], object]] = []
    claims: list[object] = []

    class Late:
        """A heartbeat that arrives when the test says."""

        def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
            if name != "store.update" or arguments[0].condition.name != "own_live_run":
                return function()
            arrives.append(cache(function))
            clock.advance(10 * SECOND)
            other.step()
            return arrives[0]()  # type: ignore[return-value]

    class Reading:
        """The claim that comes after the one that was refused."""

        def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
            if name == "store.update":
                claims.append(arguments[0])
                if len(claims) == 2:
                    arrives[0]()
            return function()

    tasks.task("work")(lambda job: claims.append("begun"))
    worker = Simulation(installation=intercepted(installation, Late()), tasks=tasks, worker="a")
    other = Simulation(installation=intercepted(installation, Reading()), tasks=tasks, worker="b")
    run = begun(worker)
    clock.advance(LEASE - SECOND)
    with worker.runs.holding(run):
        worker.beat()

    assert len(claims) >= 2
    assert "begun" not in claims
    run.check()
    assert (job.refresh().record.run_id, job.record.crashes) == (run.run_id, 0)


def test_job_restarted_under_its_cancelled_run_begins_as_soon_as_that_has_stopped(
    job: Job, workers: Callable[[str], Simulation], clock: FakeClock
) -> None:
    first, second = workers("a"), workers("b")
    run = begun(first)
    job.cancel()
    job.restart()
    # the lease is live: the restarted job's message is hidden until it would end
    second.step()
    assert job.refresh().state is State.WAITING

    with first.runs.holding(run):
        clock.advance(LEASE / 3)
        first.beat()
    with pytest.raises(JobCancelled):
        run.check()
    settle(first, first.handler.complete(run, Completion(result="late")))
    second.step()

    assert job.refresh().result == "done"


def test_cancelled_run_that_comes_back_late_does_not_end_the_lease_of_a_later_one(
    job: Job, workers: Callable[[str], Simulation], clock: FakeClock
) -> None:
    """That one is cancelled too and has not stopped: a restart must not overlap it."""
    first, second, third = workers("a"), workers("b"), workers("c")
    old = begun(first)
    job.cancel()
    clock.advance(2 * LEASE)
    job.restart()
    new = next(
        run
        for run in (second.handler.begin(message) for message in second.receive())
        if isinstance(run, Run)
    )
    job.cancel()

    old.stop_signal.set(JobCancelled("cancelled"))
    settle(first, first.handler.complete(old, Completion(result="late")))
    job.restart()
    third.step()

    assert job.refresh().state is State.WAITING, "the second run still goes on"
    assert job.record.run_id == new.run_id


def test_job_restarted_under_a_cancelled_run_that_died_begins_after_the_margin(
    job: Job, workers: Callable[[str], Simulation], clock: FakeClock
) -> None:
    first, second = workers("a"), workers("b")
    run = begun(first)
    job.cancel()
    job.restart()

    clock.advance(LEASE + CLOCK_SKEW - MOMENT)
    assert not isinstance(second.handler.begin(run.held.message), Run)
    clock.advance(MOMENT)
    assert isinstance(second.handler.begin(run.held.message), Run)


class Behind(FakeClock):
    """The clock of a machine that is a second behind."""

    def __init__(self, other: FakeClock) -> None:
        super().__init__()
        self._other = other

    def now_ms(self) -> int:
        return self._other.now_ms() - 1000

    def monotonic(self) -> float:
        return self._other.monotonic()


def test_worker_whose_clock_is_behind_sets_no_time_stamp_back(
    job: Job, installation: Installation, tasks: Registry, clock: FakeClock
) -> None:
    tasks.task("work")(lambda job: "done")
    behind = replace(installation, clock=Behind(clock))

    Simulation(installation=behind, tasks=tasks).step()

    record = job.refresh().record
    assert job.result == "done"
    assert record.created_ms <= (record.started_ms or 0) <= (record.finished_ms or 0)
    assert record.updated_ms >= record.created_ms


@pytest.mark.parametrize("waits", ["blocked", "parked", "paused", "delayed"])
def test_stray_message_begins_no_job_that_has_to_wait(
    queue: Queue, installation: Installation, workers: Callable[[str], Simulation], waits: str
) -> None:
    """Such as one that was delivered twice, or that is older than what the job waits for."""
    worker = workers("a")
    first = queue.submit("work", resource="cat.jpg")
    match waits:
        case "blocked":
            job = queue.submit("work", depends=[first])
        case "paused":
            job = queue.submit("work").pause()
        case "delayed":
            job = queue.submit("work", delay=timedelta(hours=1))
        case _:
            assert isinstance(worker.handler.begin(worker.receive()[0]), Run)
            job = queue.submit("work", resource="cat.jpg")
            worker.step()
            assert job.refresh().record.parked is not None
    (stray,) = (
        message for message in sent_again(job, installation, worker) if job.id in message.body
    )

    assert not isinstance(worker.handler.begin(stray), Run)
    assert job.refresh().attempt == 0


def sent_again(job: Job, installation: Installation, worker: Simulation) -> list[Received]:
    worker.receive()
    body = Pending.of(job.record).body()
    installation.messages.send(NORMAL, [Outgoing(body=body)])
    return worker.receive()


@pytest.mark.parametrize("end", ["complete", "give back"])
def test_run_that_ended_leaves_no_mark_for_the_scheduler(
    job: Job, workers: Callable[[str], Simulation], clock: FakeClock, end: str
) -> None:
    """It would look at a job that needs nothing, again and again."""
    worker = workers("a")
    run = begun(worker)
    with worker.runs.holding(run):
        clock.advance(LEASE / 3)
        worker.beat()
    assert job.refresh().record.attention is not None

    if end == "complete":
        settle(worker, worker.handler.complete(run, Completion(result="done")))
    else:
        settle(worker, worker.handler.give_back(run, "stopping"))

    assert job.refresh().record.attention is None
