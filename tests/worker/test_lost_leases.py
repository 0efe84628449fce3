"""A worker that lives and lost its lease says so; only a worker that died is counted as dead."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Job, RemoteJob, RunningJob, State
from remotejob.cli.formats import as_dict
from remotejob.client.hooks import Hooks
from remotejob.domain.claim_decisions import CRASH_BUDGET, LOST_LEASE_BUDGET
from remotejob.domain.events import Event
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Crash
from remotejob.testing.interception import intercepted

T = TypeVar("T")

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=8)
PAST_THE_LEASE = LEASE + 3 * SECOND


class Network:
    """A network that fails the requests that `fails` chooses, before or after they took effect."""

    def __init__(self) -> None:
        self.fails: Callable[[str], bool] = lambda name: False
        self.answers_only: Callable[[], bool] = lambda: False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        fails = self.fails(name)
        if fails and not self.answers_only():
            raise ConnectionError("no route to host")
        answer = function()
        if fails:
            raise ConnectionError("the answer was lost")
        return answer


@pytest.fixture
def short(installation: Installation) -> Installation:
    return replace(installation, lease=LEASE)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def worker(short: Installation, network: Network) -> Simulation:
    return Simulation(installation=intercepted(short, network), worker="w1")


def counts(job: Job) -> tuple[int, int]:
    """Crashes and lost leases."""
    record = job.refresh().record
    return record.crashes, record.lost_leases


def submitted(system: Installation) -> Job:
    return RemoteJob(system).queue().submit("work")


def completed_by_another(job: Job, system: Installation, clock: FakeClock) -> Job:
    tasks = Registry()
    tasks.task("work")(lambda job: "by another")
    other = Simulation(installation=system, tasks=tasks, worker="w2")
    for _ in range(5):
        clock.advance(PAST_THE_LEASE)
        other.step()
    assert job.refresh().result == "by another"
    return job


@pytest.mark.parametrize("seed", range(8))
def test_healthy_job_in_a_flaky_network_does_not_end_as_if_its_worker_died(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock, seed: int
) -> None:
    chance = random.Random(seed)
    network.answers_only = lambda: chance.random() < 0.5
    left = 60

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        nonlocal left
        while left:
            clock.advance(SECOND)
            worker.beat()
            job.check()
            left -= 1
        return "done"

    job = submitted(short)
    network.fails = lambda name: name.startswith("store.") and chance.random() < 2 / 3
    for _ in range(1000):
        with suppress(ConnectionError):
            worker.step()
        clock.advance(SECOND)
        worker.beat()
        if job.refresh().ended:
            break
    assert (job.state, [error.kind for error in job.errors]) == (State.COMPLETED, [])
    assert job.record.crashes < CRASH_BUDGET


def test_worker_that_lost_its_lease_says_so_before_another_takes_the_job(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        network.fails = lambda name: True
        for _ in range(10):
            clock.advance(SECOND)
            worker.beat()
        network.fails = lambda name: False
        job.check()

    job = submitted(short)
    worker.step()
    run_id = job.refresh().record.run_id

    assert (job.state, job.record.run_id, counts(job)) == (State.RUNNING, run_id, (0, 0))
    completed_by_another(job, short, clock)
    assert counts(job) == (0, 1)
    assert (as_dict(job)["crashes"], as_dict(job)["lost_leases"]) == (0, 1)


def test_worker_says_that_it_lives_while_its_task_goes_on_and_notices_nothing(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock
) -> None:
    seen: list[tuple[int, int]] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        network.fails = lambda name: True
        clock.advance(PAST_THE_LEASE)
        worker.beat()
        completed_by_another(stored, short, clock)
        seen.append(counts(stored))
        network.fails = lambda name: False
        clock.advance(LEASE)
        worker.beat()
        seen.append(counts(stored))
        return "too late"

    stored = submitted(short)
    worker.step()

    assert seen == [(1, 0), (0, 1)], "counted as a crash until its worker could say otherwise"
    assert stored.refresh().result == "by another"
    worker.beat()
    assert counts(stored) == (0, 1), "once"


def test_worker_that_stood_still_says_that_it_lives(
    worker: Simulation, short: Installation, clock: FakeClock
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        completed_by_another(stored, short, clock)
        assert counts(stored) == (1, 0)
        return "too late"

    stored = submitted(short)
    worker.step()

    assert stored.refresh().result == "by another"
    assert counts(stored) == (0, 1)


def test_job_whose_outcome_could_not_be_committed_counts_no_crash(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        network.fails = lambda name: name.startswith("store.")

    job = submitted(short)
    with pytest.raises(ConnectionError):
        worker.step()
    network.fails = lambda name: False
    clock.advance(SECOND)
    worker.beat()

    completed_by_another(job, short, clock)
    assert counts(job) == (0, 1)


def test_claim_whose_answer_was_lost_counts_no_crash(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock
) -> None:
    worker.tasks.task("work")(lambda job: "done")
    job = submitted(short)
    network.fails, network.answers_only = lambda name: name == "store.update", lambda: True
    with pytest.raises(ConnectionError):
        worker.step()
    assert job.refresh().state is State.RUNNING, "nobody runs it"
    network.fails = lambda name: False
    worker.beat()

    completed_by_another(job, short, clock)
    assert counts(job) == (0, 1)


def test_job_that_loses_every_lease_ends_some_day_and_says_why(
    short: Installation, clock: FakeClock
) -> None:
    worker = Simulation(installation=short)
    runs = 0

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        nonlocal runs
        runs += 1
        # holds the interpreter for longer than the lease
        clock.advance(LEASE + SECOND)
        worker.beat()
        job.check()

    job = submitted(short)
    while not job.refresh().ended:
        worker.step()
        clock.advance(PAST_THE_LEASE)

    assert runs == LOST_LEASE_BUDGET > CRASH_BUDGET
    assert (job.state, counts(job)) == (State.FAILED, (0, LOST_LEASE_BUDGET))
    (error,) = job.errors
    assert error.kind == "LeaseLost"
    assert error.message.startswith(
        f"the lease of this job ended {LOST_LEASE_BUDGET} times while its worker lived"
    )


def test_a_worker_that_dies_is_counted_as_dead_whatever_others_lost(
    short: Installation, clock: FakeClock
) -> None:
    worker = Simulation(installation=short)
    runs = 0

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        nonlocal runs
        runs += 1
        if runs % 2:
            raise Crash("poison")
        clock.advance(LEASE + SECOND)
        job.check()

    job = submitted(short)
    while not job.refresh().ended:
        try:
            worker.step()
        except Crash:
            worker = Simulation(installation=short, tasks=worker.tasks)
        clock.advance(PAST_THE_LEASE)

    assert counts(job) == (CRASH_BUDGET, CRASH_BUDGET - 1)
    (error,) = job.errors
    assert error.kind == "WorkerDied"
    assert error.message.startswith(f"the worker died {CRASH_BUDGET} times")


def test_a_restart_forgets_what_was_lost(
    worker: Simulation, network: Network, short: Installation, clock: FakeClock
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        clock.advance(PAST_THE_LEASE)
        worker.beat()
        job.check()

    job = submitted(short)
    for _ in range(2):
        worker.step()
        clock.advance(PAST_THE_LEASE)
    assert counts(job)[1] == 1
    job.cancel()
    clock.advance(PAST_THE_LEASE)
    worker.step()
    job.restart()

    assert counts(job) == (0, 0)


def test_hooks_are_told_that_the_lease_was_lost_and_no_worker_died(
    short: Installation, clock: FakeClock
) -> None:
    hooks, kinds = Hooks(), []
    hooks.on(Event.COUNT_FAILED, lambda event: kinds.append(event.failure.kind))
    system = replace(short, hooks=hooks)
    worker = Simulation(installation=system)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        clock.advance(LEASE + SECOND)
        worker.beat()
        job.check()

    job = submitted(system)
    worker.step()
    completed_by_another(job, system, clock)

    assert kinds == ["LeaseLost"]
