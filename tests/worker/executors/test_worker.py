"""A whole worker, in memory and in real time, whose tasks run in threads, processes and a loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import AsyncRunningJob, Queue, State, Urgency
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.runs_in import Process
from remotejob.testing import memory_installation
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.worker import Worker, WorkerOptions
from tests.end_to_end.waiting import PATIENCE, until
from tests.worker.executors import work
from tests.worker.executors.refusing import no_room
from tests.worker.executors.scenes import of_module, told, until_gone
from tests.worker.lifecycle.working import ended

NAMES = ("own-process", "patient", "in-thread", "on-loop")


@pytest.fixture
def installation() -> Installation:
    clock = SystemClock()
    return replace(
        memory_installation(queues={"default": NAMES}),
        clock=clock,
        messages=MemoryMessages(clock),
        entropy=os.urandom,
    )


@pytest.fixture
def tasks() -> Registry:
    made = Registry()
    for name in ("own-process", "patient"):
        task = of_module(work)[name]
        made.task(name, runs_in=task.runs_in)(task.function)

    made.task("in-thread")(lambda job: os.getpid())

    @made.task("on-loop")
    async def on_loop(job: AsyncRunningJob) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    return made


@contextmanager
def working(installation: Installation, tasks: Registry) -> Iterator[Worker]:
    options = WorkerOptions(
        queue="default",
        name="worker",
        concurrency=3,
        grace=timedelta(seconds=30),
        children=ChildProgram(modules=("tests.worker.executors.work",)),
    )
    worker = Worker(installation, tasks, options)
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(worker.run()))
    thread.start()
    try:
        yield worker
    finally:
        worker.stop(Urgency.HARD)
        thread.join(PATIENCE)
    assert clean == [True]


def test_each_task_runs_where_it_says_and_all_ends_with_the_worker(
    installation: Installation, queue: Queue, tasks: Registry
) -> None:
    with working(installation, tasks):
        jobs = [queue.submit(name, data={"do": "pid"}) for name in NAMES]
        own, patient, thread, loop = (job.wait(PATIENCE).result for job in jobs)
    assert thread == os.getpid()
    assert loop == "event-loop"
    assert len({own, patient, thread}) == 3
    until_gone([own, patient])
    assert "event-loop" not in {one.name for one in threading.enumerate()}


def test_a_process_that_dies_takes_no_other_job_with_it(
    installation: Installation, queue: Queue, tasks: Registry, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with working(installation, tasks):
        waits = {"do": "wait", "told": str(tmp_path / "told"), "go": str(go)}
        neighbour = queue.submit("own-process", data=waits)
        (pid,) = told(tmp_path / "told")
        crashes = [queue.submit("own-process", data={"do": "segfault"}) for _ in range(3)]
        for job in crashes:
            assert job.wait(PATIENCE).state is State.FAILED
            assert job.errors[0].kind == "ProcessDied"
        assert queue.submit("in-thread").wait(PATIENCE).result == os.getpid()
        go.touch()
        assert neighbour.wait(PATIENCE).result == pid


def test_a_worker_that_stops_at_once_kills_what_runs_and_gives_it_back(
    installation: Installation, queue: Queue, tasks: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "told"
    with working(installation, tasks):
        job = queue.submit("patient", data={"do": "ignore", "told": str(file)})
        pids = told(file)
    until_gone(pids)
    record = job.refresh().record
    assert (record.state, record.releases, record.failures) == (State.READY, 1, 0)


def test_a_cancelled_job_is_killed_within_its_grace(
    installation: Installation, queue: Queue, tasks: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "told"
    brief = replace(installation, lease=timedelta(seconds=3))
    with working(brief, tasks):
        job = queue.submit("own-process", data={"do": "ignore", "told": str(file)})
        pids = told(file)
        job.cancel()
        until_gone(pids)
    assert job.refresh().state is State.CANCELLED


def test_a_child_is_ready_before_the_first_job(installation: Installation, tasks: Registry) -> None:
    kinds = {task.runs_in for task in tasks.values() if isinstance(task.runs_in, Process)}
    before = _children()
    with working(installation, tasks):
        until(lambda: len(_children() - before) == len(kinds), what="a process of each kind")
    # they have ended; those who waited for it are about to
    until(lambda: not _children() - before, what="the end of who waited for them")


@pytest.mark.exhaustive
def test_a_worker_waits_where_no_process_can_be_started_and_goes_on_when_one_can(
    installation: Installation, queue: Queue, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with no_room() as tried, working(installation, tasks):
        job = queue.submit("own-process", data={"do": "pid"})
        until(lambda: job.refresh().record.releases >= 1, what="that it is given back")
        until(
            lambda: "cannot handle a message (1 in a row): NotStarted" in caplog.text,
            what="the worker's trouble",
        )
        tried.room = True
        assert ended(job, installation).state is State.COMPLETED
    assert job.record.failures == 0
    # two at the start, and no more than one for each time it was given back
    assert tried.count <= 2 + job.record.releases


def _children() -> set[str]:
    """The threads that wait for the end of a process each."""
    return {one.name for one in threading.enumerate() if one.name.startswith("child-")}
