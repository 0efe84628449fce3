"""What a task sets in its context, decimals included, reaches no other job.

What the library puts there, such as the job for log lines and how deep the chain is, reaches it.
"""

from __future__ import annotations

import decimal
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

from remotejob import Job, Queue, RemoteJob, State, TakenJob
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.client.replay_here import replay_here
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation, memory_installation, run_task
from remotejob.worker.executors.executors import Executors
from tests.worker.executors import spoiling
from tests.worker.executors.scenes import of_module
from tests.worker.executors.spoiling import VARIABLE, found

TASKS: Final = tuple(of_module(spoiling))


@pytest.fixture(scope="module")
def executors() -> Iterator[Executors]:
    made = Executors([registry[name] for name in TASKS])
    yield made
    made.close(within=timedelta(seconds=10))


def unspoilt() -> bool:
    return (decimal.getcontext().prec, VARIABLE.get()) == (28, "as it was")


def check(found: Any, job: Job | None = None) -> None:
    assert (found["prec"], found["variable"]) == (28, "as it was")
    assert found["third"] == "0." + "3" * 28
    if job is not None:
        # what the library says of the job is there
        assert (found["job"], found["depth"]) == (job.id, 1)


@pytest.mark.parametrize("name", TASKS)
def test_a_job_does_not_find_what_another_one_set(executors: Executors, name: str) -> None:
    system = memory_installation(queues={"default": (name,)})
    queue = RemoteJob(system).queue()
    worker = Simulation(installation=system, tasks=registry, call=executors.run)
    for _ in range(3):
        job = queue.submit(name)
        worker.step()
        assert job.refresh().state is State.COMPLETED, job.errors
        check(job.result, job)
    assert unspoilt()


@pytest.mark.parametrize("name", TASKS)
def test_nor_in_a_simulation_a_replay_or_a_test(name: str) -> None:
    system = memory_installation(queues={"default": (name,)})
    queue = RemoteJob(system).queue()
    worker = Simulation(installation=system, tasks=registry)
    for _ in range(2):
        job = queue.submit(name)
        worker.step()
        check(job.refresh().result, job)
        check(replay_here(job, on_error="raise").result, job)
        check(run_task(name).result)
    assert unspoilt()


def test_nor_in_a_loop_that_runs_already() -> None:
    """As in a notebook, whose cells run on a loop."""
    import asyncio

    async def cell() -> Any:
        return run_task("spoils-loop").result

    for _ in range(2):
        seen = asyncio.run(cell())
        check(seen)
        assert seen["job"] is not None


@pytest.mark.parametrize("payload", [1, 2])
def test_nor_among_jobs_processed_by_hand(payload: int) -> None:
    queue: Queue = RemoteJob(memory_installation()).queue()
    jobs = [queue.submit("work") for _ in range(4)]
    seen: list[Any] = []
    enough = threading.Event()

    def work(taken: TakenJob | list[TakenJob]) -> None:
        seen.append(found())
        if len(seen) * payload >= len(jobs):
            enough.set()

    processor: Any = queue.process_jobs("work", work, payload=payload)
    with processor:
        assert enough.wait(30)
    assert [job.refresh().state for job in jobs] == [State.COMPLETED] * 4
    for one in seen:
        check(one)
        assert one["depth"] == 1


def test_nor_a_job_what_a_hook_set(clock: FakeClock) -> None:
    hooks = Hooks()
    system = memory_installation(clock)
    object.__setattr__(system, "hooks", hooks)
    worker = Simulation(installation=system)
    worker.tasks.task("work")(lambda job: found())
    told: list[Any] = []

    @hooks.on("completed")
    def spoil(event: JobEvent) -> None:
        told.append(found())

    queue = RemoteJob(system).queue()
    for _ in range(2):
        job = queue.submit("work")
        worker.step()
        check(job.refresh().result, job)
    assert len(told) == 2
    for one in told:
        check(one)
    assert unspoilt()
