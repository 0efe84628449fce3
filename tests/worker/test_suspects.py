"""Jobs beside others that take their worker down: those end failed, and no other does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Job, Queue, State
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.jobs.messaging.messages import Pending
from remotejob.names import Field
from remotejob.ports import Installation, Received, Updated
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.messages.settlements import Hide, RunAlone, Settlement
from remotejob.worker.runs.run import Run

ANYTHING = Condition(name="anything", expression=EXISTS)
LAST = CRASH_BUDGET - 1
"""Crashes that leave a job one run."""


def suspected(job: Job, installation: Installation, *, crashes: int = LAST) -> Job:
    """The same job, after so many of its workers died."""
    change = Change(job_id=job.id, condition=ANYTHING, values={}, add={Field.CRASHES: crashes})
    assert isinstance(installation.store.update(change), Updated)
    return job.refresh()


@pytest.fixture
def tasks() -> Registry:
    made = Registry()
    made.task("work")(lambda job: None)
    return made


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    return Simulation(installation=installation, tasks=tasks)


class Lives:
    """Workers of one queue, one after the other: each begins some jobs, and then ends or dies."""

    def __init__(
        self, installation: Installation, tasks: Registry, *, concurrency: int, seed: int
    ) -> None:
        self._installation = installation
        self._tasks = tasks
        self._concurrency = concurrency
        self._shuffle = random.Random(seed).shuffle
        self.deaths: Counter[str] = Counter()
        """Of workers, by the jobs that they ran."""

    def live(self, deadly: set[str]) -> None:
        """Take what is visible; die if a deadly job is among what begins, else end all."""
        worker = Simulation(installation=self._installation, tasks=self._tasks)
        received = worker.receive()
        self._shuffle(received)
        with ExitStack() as held:
            runs: list[Run] = []
            for message in received:
                begun = self._begin(worker, message, runs)
                if isinstance(begun, Run):
                    held.enter_context(worker.runs.holding(begun))
                    runs.append(begun)
                else:
                    worker.settler.add(begun)
            if deadly & {run.job_id for run in runs}:
                self.deaths.update(run.job_id for run in runs)
                worker.settler.flush()
                return
            for run in runs:
                settlement = worker.handler.complete(run, Completion(result=None))
                assert settlement is not None
                worker.settler.add(settlement)
        worker.settler.flush()

    def _begin(self, worker: Simulation, message: Received, runs: list[Run]) -> Run | Settlement:
        # as a worker's threads do: nothing begins next to a job that runs alone
        if len(runs) == self._concurrency or any(run.record.crashes >= LAST for run in runs):
            return Hide(message=message, span=timedelta(0))
        begun = worker.handler.begin(message)
        if isinstance(begun, Run) and begun.record.crashes >= LAST:
            assert not runs, "its last run is alone"
        return begun


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("deadly", "honest", "concurrency"), [(1, 3, 4), (3, 1, 4), (4, 12, 4), (6, 2, 2)]
)
def test_jobs_that_take_their_worker_down_fail_and_those_beside_them_complete(
    queue: Queue, installation: Installation, tasks: Registry, clock: FakeClock,
    deadly: int, honest: int, concurrency: int, seed: int,
) -> None:  # fmt: skip
    killers = [queue.submit("work") for _ in range(deadly)]
    others = [queue.submit("work") for _ in range(honest)]
    lives = Lives(installation, tasks, concurrency=concurrency, seed=seed)

    for _ in range(100):
        lives.live({job.id for job in killers})
        clock.advance(installation.lease + timedelta(seconds=5))

    assert {job.refresh().state for job in others} == {State.COMPLETED}
    for job in killers:
        assert job.refresh().state is State.FAILED
        assert job.errors[-1].kind == "WorkerDied"
        assert lives.deaths[job.id] == job.crashes == CRASH_BUDGET
    assert all(lives.deaths[job.id] < CRASH_BUDGET for job in others)


@pytest.fixture
def in_flight(queue: Queue, worker: Simulation) -> Iterator[Run]:
    """A run of another job that goes on."""
    queue.submit("work")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    with worker.runs.holding(run):
        yield run


@pytest.mark.parametrize("options", [{}, {"delay": timedelta(seconds=1)}, {"resource": "scanner"}])
def test_suspect_is_not_claimed_beside_another_job_and_stays_as_it_is(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock, in_flight: Run,
    options: dict[str, Any],
) -> None:  # fmt: skip
    job = suspected(queue.submit("work", **options), installation)
    clock.advance(timedelta(seconds=1))
    before = job.refresh().record

    (message,) = worker.receive()
    settlement = worker.handler.attend(message)

    assert isinstance(settlement, RunAlone)
    assert job.refresh().record == before
    clock.advance(timedelta(minutes=5))
    in_flight.take_ending()


def test_suspect_is_claimed_where_nothing_else_runs(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    job = suspected(queue.submit("work"), installation)
    worker.step()
    assert job.refresh().state is State.COMPLETED


def test_silent_run_is_not_taken_over_beside_another_job_if_it_is_the_second_death(
    queue: Queue, worker: Simulation, installation: Installation, tasks: Registry, clock: FakeClock
) -> None:
    dead = Simulation(installation=installation, tasks=tasks)
    job = suspected(queue.submit("work"), installation, crashes=1)
    (message,) = dead.receive()
    assert isinstance(dead.handler.begin(message), Run)
    clock.advance(installation.lease + timedelta(seconds=5))
    other = queue.submit("work")

    received = {Pending.read(one.body).job_id: one for one in worker.receive()}
    run = worker.handler.begin(received[other.id])
    assert isinstance(run, Run)
    with worker.runs.holding(run):
        assert isinstance(worker.handler.begin(received[job.id]), RunAlone)
        assert job.refresh().crashes == 1
    begun = worker.handler.begin(received[job.id])

    assert isinstance(begun, Run)
    assert job.refresh().crashes == 2


def test_one_death_leaves_a_job_in_company(
    queue: Queue, worker: Simulation, installation: Installation, in_flight: Run
) -> None:
    job = suspected(queue.submit("work"), installation, crashes=1)
    (message,) = worker.receive()
    begun = worker.handler.begin(message)
    assert isinstance(begun, Run)
    assert begun.job_id == job.id
    assert in_flight.job_id != job.id
