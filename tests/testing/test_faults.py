"""Faults of the testing kit: each ends as it does with the real worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest

from remotejob import (
    Job,
    JobCancelled,
    LeaseLost,
    QueueUnavailable,
    RemoteJob,
    RunInterrupted,
    RunningJob,
    State,
    StoreUnavailable,
    Urgency,
    WorkerStopping,
    task,
)
from remotejob.domain.errors import InvalidData, InvalidName
from remotejob.domain.record import JobRecord
from remotejob.ports import Address, Channel
from remotejob.tasks import Registry
from remotejob.testing import (
    FakeClock,
    FaultNotMet,
    JobSystem,
    NotDrained,
    Simulation,
    memory_installation,
)
from remotejob.testing.crashes import Crash, Fault, Faults
from remotejob.worker.worker import Worker, WorkerOptions
from tests.systems import installation_in_real_time
from tests.testing.tasks import count, register

PATIENCE: Final = 30


@pytest.fixture
def system(remotejob_system: JobSystem) -> JobSystem:
    register()
    return remotejob_system


@pytest.fixture
def job(system: JobSystem) -> Job:
    return system.client.queue().submit("count")


def told(record: JobRecord) -> Mapping[str, Any]:
    """What a record says of its runs, without ids and times."""
    return {
        "state": record.state,
        "attempt": record.attempt,
        "failures": record.failures,
        "crashes": record.crashes,
        "lost_leases": record.lost_leases,
        "releases": record.releases,
        "checkpoint": record.checkpoint_json,
        "progress": record.progress,
        "result": record.result_json,
        "leased": record.lease_ms is not None,
        "errors": [(failure.kind, failure.attempt) for failure in record.errors],
    }


class ByHand:
    """The same job with the worker's own parts, and without the kit: what production does."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.installation = memory_installation(self.clock, queues={"default": ("count",)})
        self.faults = Faults(Fault.CRASH_BEFORE)
        self.job = RemoteJob(self.installation).queue().submit("count")

    def worker(self, function: Callable[[RunningJob], int] = count) -> Simulation:
        tasks = Registry()
        tasks.task("count")(function)
        installation = self.faults.process(self.installation, "worker")
        return Simulation(installation=installation, tasks=tasks)


@pytest.mark.parametrize("moment", ["start", "checkpoint", "progress", "output", "log", "end"])
def test_a_job_of_a_dead_worker_comes_again(system: JobSystem, job: Job, moment: str) -> None:
    system.faults.kill_worker(at=moment)
    system.drain()
    assert job.refresh().state is State.RUNNING

    assert [ran.id for ran in system.run_for(minutes=2)] == [job.id]
    assert (job.refresh().state, job.crashes, job.attempt) == (State.COMPLETED, 1, 2)
    assert job.result == (0 if moment == "start" else 5 if moment == "end" else 1)
    assert list(job.outputs) == ([] if moment == "end" else ["last.txt"])


def test_a_death_ends_as_with_the_worker(system: JobSystem, job: Job) -> None:
    by_hand = ByHand()

    def strike(running: RunningJob) -> int:
        result = count(running)
        # the next request would commit it
        by_hand.faults.strike_in(1)
        return result

    with pytest.raises(Crash):
        by_hand.worker(strike).step()
    system.faults.kill_worker(at="end")
    system.drain()
    assert told(job.refresh().record) == told(by_hand.job.refresh().record)

    by_hand.clock.advance(timedelta(minutes=2))
    by_hand.worker().step()
    system.clock.advance(minutes=2)
    system.drain()
    assert told(job.refresh().record) == told(by_hand.job.refresh().record)


def test_a_poison_job_fails_in_the_end(system: JobSystem, job: Job) -> None:
    for _ in range(3):
        system.faults.kill_worker()
        system.drain()
        system.clock.advance(minutes=10)
    system.drain()
    assert (job.refresh().state, job.crashes) == (State.FAILED, 3)


def test_a_dead_worker_has_no_further_effect(system: JobSystem) -> None:
    @task("stubborn")
    def stubborn(job: RunningJob) -> None:
        try:
            job.checkpoint(1)
        finally:
            job.checkpoint(2)

    with JobSystem('[queues.default]\ntasks = ["stubborn"]') as own:
        job = own.client.queue().submit("stubborn")
        own.faults.kill_worker(at="checkpoint")
        own.drain()
        assert job.refresh().last_checkpoint == 1


def test_a_reclaimed_job_is_given_back_uncounted(system: JobSystem, job: Job) -> None:
    system.faults.reclaim_worker(at="checkpoint", nth=2)
    assert [ran.id for ran in system.drain()] == [job.id]
    assert (job.refresh().state, job.result) == (State.COMPLETED, 2)
    assert (job.attempt, job.crashes, job.lost_leases) == (1, 0, 0)
    assert job.record.releases == 1


def test_a_reclaim_ends_as_with_the_worker(system: JobSystem, job: Job) -> None:
    begun, stopped = threading.Event(), threading.Event()
    installation = installation_in_real_time(queues={"default": ("count",)})
    tasks = Registry()

    @tasks.task("count")
    def counted(running: RunningJob) -> None:
        running.checkpoint(1)
        running.progress(1, 5)
        begun.set()
        stopped.wait(PATIENCE)
        running.check()

    by_hand = RemoteJob(installation).queue().submit("count")
    worker = Worker(installation, tasks, WorkerOptions(queue="default", name="worker"))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE)
    worker.stop(Urgency.HARD)
    # asked before the job is read: a worker gives it back, and only then ends
    while (alive := thread.is_alive()) and by_hand.refresh().state is State.RUNNING:
        pass
    assert alive or by_hand.refresh().state is not State.RUNNING
    stopped.set()
    thread.join(PATIENCE)

    system.faults.reclaim_worker(at="progress")
    with pytest.raises(NotDrained, match="1 runs, and there is more to do"):
        system.drain(at_most=1)
    assert told(job.refresh().record) == told(by_hand.record)
    assert job.record.releases == 1


@pytest.mark.parametrize(("moment", "resumed"), [("start", 0), ("checkpoint", 2), ("end", 5)])
def test_a_lost_lease_is_no_crash(system: JobSystem, job: Job, moment: str, resumed: int) -> None:
    system.faults.lose_lease(at=moment, nth=2 if moment == "checkpoint" else 1)
    system.drain()
    assert (job.refresh().state, job.result) == (State.COMPLETED, resumed)
    assert (job.attempt, job.crashes, job.lost_leases) == (2, 0, 1)


def test_a_lost_lease_ends_as_with_the_worker(system: JobSystem, job: Job) -> None:
    by_hand = ByHand()

    def freeze(running: RunningJob) -> int:
        running.checkpoint(1)
        by_hand.clock.advance(timedelta(minutes=2))
        worker.beat()
        running.progress(1, 5)
        return 1

    worker = by_hand.worker(freeze)
    worker.step()
    by_hand.worker().step()
    system.faults.lose_lease(at="checkpoint")
    system.drain()
    assert told(job.refresh().record) == told(by_hand.job.refresh().record)


@pytest.mark.parametrize("moment", ["start", "progress", "end"])
def test_a_job_cancelled_while_it_runs_is_cancelled(
    system: JobSystem, job: Job, moment: str
) -> None:
    system.faults.cancel_job(at=moment)
    assert [ran.id for ran in system.drain()] == [job.id]
    assert job.refresh().state is State.CANCELLED
    assert job.record.lease_ms is None
    assert system.run_for(hours=1) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("reclaim_worker", WorkerStopping), ("lose_lease", LeaseLost), ("cancel_job", JobCancelled)],
)
def test_the_next_call_of_the_job_raises(fault: str, reason: type[RunInterrupted]) -> None:
    seen: list[BaseException] = []

    @task("look")
    def look(job: RunningJob) -> None:
        job.progress(1)
        try:
            job.check()
        except RunInterrupted as stopped:
            seen.append(stopped)
            raise

    with JobSystem('[queues.default]\ntasks = ["look"]') as own:
        own.client.queue().submit("look")
        getattr(own.faults, fault)(at="progress")
        own.drain()
    assert [type(error) for error in seen] == [reason]


def test_a_fault_is_for_its_task_alone(system: JobSystem, job: Job) -> None:
    other = system.client.queue("other").submit("after")
    system.faults.kill_worker(task="after")
    system.drain()
    assert (job.refresh().state, other.refresh().state) == (State.COMPLETED, State.RUNNING)


def test_a_fault_that_does_not_happen_ends_the_test() -> None:
    with (
        pytest.raises(FaultNotMet, match=r"kill_worker\(at='output', nth=2, task='after'\)"),
        JobSystem('[queues.default]\ntasks = ["after"]') as own,
    ):
        own.faults.kill_worker(at="output", nth=2, task="after")


def test_a_fault_is_checked(system: JobSystem) -> None:
    with pytest.raises(
        InvalidName, match=r"^at='midnight': use one of start, progress, checkpoint"
    ):
        system.faults.kill_worker(at="midnight")
    with pytest.raises(InvalidData):
        system.faults.kill_worker(nth=0)
    with pytest.raises(InvalidName, match=r"^service='ec2': use one of s3, dynamodb, sqs"):
        system.faults.outage("ec2")
    with pytest.raises(InvalidData):
        system.faults.delay_messages(timedelta(-1))


@pytest.mark.parametrize("service", ["s3", "dynamodb", "sqs"])
def test_a_job_survives_an_outage(system: JobSystem, service: str) -> None:
    job = system.upload("in/a.txt", b"hello")
    system.faults.outage(service, calls=3)
    system.run_for(minutes=10)
    assert job.refresh().outputs["copy.txt"].read_text() == "hello"
    assert (job.attempt, job.crashes) == (1, 0)


def test_the_caller_learns_of_an_outage(system: JobSystem) -> None:
    queue = system.client.queue()
    system.faults.outage("dynamodb")
    with pytest.raises(StoreUnavailable):
        queue.submit("count")
    assert system.client.jobs() == []

    system.faults.outage("sqs")
    with pytest.raises(QueueUnavailable):
        queue.submit("count")
    [job] = system.client.jobs()
    # stored, and found by the sweep
    assert system.drain() == []
    system.run_for(hours=4)
    assert job.refresh().state is State.COMPLETED


def test_an_upload_survives_an_outage(system: JobSystem) -> None:
    system.faults.outage("dynamodb", calls=3)
    began = system.clock.monotonic()
    job = system.upload("in/a.txt", b"hello")
    assert system.clock.monotonic() - began >= 180
    assert job.wait().state is State.COMPLETED

    system.faults.outage("dynamodb", calls=1000)
    with pytest.raises(StoreUnavailable):
        system.upload("in/b.txt", b"hello")


def test_events_and_messages_come_twice_and_make_one_job(system: JobSystem) -> None:
    system.faults.duplicate_uploads()
    system.faults.duplicate_messages(2)
    job = system.upload("in/a.txt", b"hello")
    messages = job._installation.messages
    assert messages.depth(Address("default", Channel.HIGH)).visible == 4
    assert [ran.id for ran in system.run_for(hours=1)] == [job.id]
    assert [one.id for one in system.client.jobs()] == [job.id]


def test_late_messages_and_events_cost_time(system: JobSystem) -> None:
    system.faults.delay_messages(timedelta(minutes=20))
    job = system.client.queue().submit("count")
    assert system.drain() == []
    system.run_for(minutes=20)
    assert job.refresh().state is State.COMPLETED

    system.faults.delay_uploads(timedelta(days=2))
    began = system.clock.monotonic()
    job = system.upload("in/a.txt", b"hello")
    assert system.clock.monotonic() - began >= 2 * 24 * 3600
    assert job.wait().state is State.COMPLETED


def test_a_slow_task_keeps_its_lease_and_its_timeout(system: JobSystem) -> None:
    @task("slow", timeout=timedelta(minutes=30))
    def slow(job: RunningJob) -> None:
        own.clock.advance(minutes=job.data)
        job.check()

    with JobSystem('[queues.default]\ntasks = ["slow"]') as own:
        jobs = [own.client.queue().submit("slow", data=minutes) for minutes in (29, 31)]
        own.drain()
        states = [job.refresh().state for job in jobs]
        assert states == [State.COMPLETED, State.FAILED]
        assert jobs[1].errors[-1].kind == "TimedOut"
        assert [job.lost_leases + job.crashes for job in jobs] == [0, 0]
