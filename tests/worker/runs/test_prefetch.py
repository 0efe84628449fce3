"""Messages fetched ahead: kept hidden while they wait their turn, and given back untouched."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, RunningJob, State, Submission
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Depth, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.worker import Worker, WorkerOptions
from tests.end_to_end.waiting import until

SECOND = timedelta(seconds=1)


def test_job_of_twelve_seconds_under_a_timeout_of_five_runs_once_and_so_do_those_behind_it(
    installation: Installation, clock: FakeClock, tasks: Registry
) -> None:
    short = replace(installation, lease=5 * SECOND)
    worker = Simulation(installation=short, tasks=tasks)
    other = Simulation(installation=short, tasks=tasks, worker="other")
    runs: list[str] = []
    met: list[int] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.id)
        for _ in range(12):
            clock.advance(SECOND)
            worker.beat()
            met.append(other.step())

    jobs = RemoteJob(short).queue().submit_many([Submission(task="work")] * 3)
    received = worker.receive()
    worker.runs.await_turn(received)
    for message in received:
        assert worker.runs.begin(message)
        settlement = worker.handler.attend(message)
        assert settlement is not None
        worker.settler.add(settlement)
        worker.settler.flush()

    assert sum(met) == 0
    assert sorted(runs) == sorted(job.id for job in jobs)
    assert {job.refresh().state for job in jobs} == {State.COMPLETED}


def test_message_that_nobody_keeps_hidden_comes_again(
    installation: Installation, clock: FakeClock, tasks: Registry, queue: Queue
) -> None:
    worker = Simulation(installation=replace(installation, lease=5 * SECOND), tasks=tasks)
    queue.submit("work")
    (message,) = worker.receive()
    worker.runs.await_turn([message])
    assert worker.runs.begin(message)
    clock.advance(6 * SECOND)
    worker.beat()

    (again,) = worker.receive()
    assert again.receives == 2


@pytest.fixture
def real_time() -> Installation:
    """In memory, for threads."""
    clock = SystemClock()
    return replace(
        memory_installation(), clock=clock, messages=MemoryMessages(clock), entropy=os.urandom
    )


def test_messages_waiting_locally_are_visible_at_once_when_the_worker_drains(
    real_time: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nothing else gives them back in this test
    monkeypatch.setattr("remotejob.worker.worker._LONGEST_PREFETCH", 3600.0)
    queue, tasks, over = RemoteJob(real_time).queue(), Registry(), threading.Event()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == "long":
            over.wait()

    options = WorkerOptions(
        queue="default", name="drains", concurrency=1, grace=timedelta(seconds=60)
    )
    worker = Worker(real_time, tasks, options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        # it learns that jobs are quick, and fetches ahead
        for job in queue.submit_many([Submission(task="work")] * 60):
            job.wait(60)
        long = queue.submit("work", data="long")
        until(lambda: long.refresh().state is State.RUNNING, what="the long job's beginning")
        behind = queue.submit_many([Submission(task="work")] * 5)
        until(lambda: _depth(real_time).visible == 0, what="their messages, fetched ahead")
        assert _depth(real_time).hidden >= len(behind)

        worker.stop()

        until(lambda: _depth(real_time).visible == len(behind), what="their messages, visible")
        assert long.refresh().state is State.RUNNING, "which goes on meanwhile"
        over.set()
        assert long.wait(60).state is State.COMPLETED
    finally:
        over.set()
        worker.stop()
        worker.stop()
        thread.join()
    assert [job.refresh().state for job in behind] == [State.READY] * 5
    assert {job.attempt for job in behind} == {0}


def _depth(installation: Installation) -> Depth:
    depths = [installation.messages.depth(Address("default", Channel(lane.value))) for lane in Lane]
    return Depth(
        visible=sum(depth.visible for depth in depths),
        hidden=sum(depth.hidden for depth in depths),
        delayed=sum(depth.delayed for depth in depths),
    )
