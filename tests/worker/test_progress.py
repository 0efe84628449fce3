"""The progress of a job: of 1 by default, whole once it completed, nothing once restarted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Job, Queue, RunningJob, State, compose, progress
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.domain.events import Event
from remotejob.ports import Installation
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.testing import FakeClock, Simulation, memory_installation, run_task
from tests.progress import reported


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return replace(memory_installation(clock), hooks=Hooks())


def ran(queue: Queue, worker: Simulation, task: Callable[..., Any]) -> Job:
    worker.tasks.task("work")(task)
    job = queue.submit("work")
    worker.step()
    return job.refresh()


async def _async(job: AsyncRunningJob) -> None:
    job.progress(0.25, message="a quarter")


def _plain(job: RunningJob) -> None:
    job.progress(0.25, message="a quarter")


EVERY_KIND = {
    "plain": _plain,
    "async": _async,
    "step": compose([lambda job, data: _plain(job)]),
    "progress step": compose([progress(0.25, message="a quarter"), lambda job, data: None]),
}


@pytest.mark.parametrize("task", EVERY_KIND.values(), ids=EVERY_KIND)
def test_total_is_1_unless_the_task_says_another(
    task: Callable[..., Any], installation: Installation, queue: Queue, worker: Simulation
) -> None:
    told: list[JobEvent] = []
    installation.hooks.on(Event.PROGRESS, told.append)  # type: ignore[attr-defined]
    ran(queue, worker, task)

    assert told[0].progress == (0.25, 1)


@pytest.mark.parametrize("task", EVERY_KIND.values(), ids=EVERY_KIND)
def test_words_with_progress_reach_hooks_and_the_log(
    task: Callable[..., Any], installation: Installation, queue: Queue, worker: Simulation
) -> None:
    told: list[JobEvent] = []
    installation.hooks.on(Event.PROGRESS, told.append)  # type: ignore[attr-defined]
    job = ran(queue, worker, task)

    assert told[0].message == "a quarter"
    assert told[0].job.progress == told[0].progress
    assert [line.message for line in job.logs()] == ["a quarter"]


@pytest.mark.parametrize(
    ("task", "whole"), [(lambda job: job.progress(1, 3), (3, 3)), (lambda job: None, (1, 1))]
)
def test_progress_of_a_completed_job_is_whole(
    task: Callable[..., Any], whole: tuple[float, float], queue: Queue, worker: Simulation
) -> None:
    job = ran(queue, worker, task)

    assert job.state is State.COMPLETED
    assert job.progress == whole
    assert queue.jobs(state="completed")[0].progress == whole


def failing(job: RunningJob) -> None:
    job.progress(2, 3)
    raise ValueError("no")


def test_restarted_job_has_no_progress(queue: Queue, worker: Simulation) -> None:
    job = ran(queue, worker, failing)
    assert [*job.progress] == [2, 3]

    job.restart()

    assert [*job.progress] == [0, 1]
    assert job.record.progress_json is None


def test_retried_batch_has_jobs_without_progress(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    worker.tasks.task("work")(failing)
    batch = queue.map("work", [1])
    worker.step()
    clock.advance(timedelta(minutes=1))
    batch.refresh().retry()

    (child,) = batch.children()
    assert (child.state, child.progress) == (State.WAITING, (0, 1))


@pytest.mark.parametrize("again", [Job.rerun, Job.replay])
def test_job_that_runs_again_as_a_new_one_has_no_progress(
    again: Callable[[Job], Job], queue: Queue, worker: Simulation
) -> None:
    job = ran(queue, worker, lambda job: job.progress(1, 3))

    assert again(job).progress == (0, 1)
    assert job.refresh().progress == (3, 3)


@pytest.mark.parametrize(("done", "total"), [(True, 1), (0, True), (False, 2), (0, "x"), ("0", 1)])
@pytest.mark.parametrize("kind", ["plain", "async", "taken", "tested", "composed"])
def test_what_is_no_number_is_refused(
    done: Any, total: Any, kind: str, installation: Installation, queue: Queue, worker: Simulation
) -> None:
    def refused(job: Any) -> None:
        with pytest.raises(InvalidData, match="use numbers"):
            job.progress(done, total)

    async def awaited(job: AsyncRunningJob) -> None:
        refused(job)

    if kind == "taken":
        queue.submit("work")
        (taken,) = queue.get_work("work")
        refused(taken)
        taken.done()
    elif kind == "tested":
        assert run_task(refused).progress == ()
    elif kind == "composed":
        with pytest.raises(InvalidData):
            progress(done, total)
    else:
        job = ran(queue, worker, awaited if kind == "async" else refused)
        assert job.state is State.COMPLETED, job.errors
        assert reported(job) == (0, 1)
