"""Processes that cannot be started: the worker's trouble, and no failure of the job."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remotejob import Queue, State
from remotejob.ports import Installation
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes import child_process
from remotejob.worker.executors.processes.program import NotStarted
from tests.worker.executors import work
from tests.worker.executors.refusing import no_room
from tests.worker.executors.scenes import of_module


@pytest.fixture
def executors() -> Iterator[Executors]:
    """With no process that is warm."""
    made = Executors(of_module(work).values())
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.fixture
def worker(installation: Installation, executors: Executors) -> Simulation:
    return Simulation(installation=installation, tasks=registry, call=executors.run)


def test_the_job_is_given_back_and_left_alone_for_a_while(
    queue: Queue, worker: Simulation, executors: Executors, clock: FakeClock
) -> None:
    job = queue.submit("own-process", data={"do": "echo", "n": 5})
    files = _open_files()
    with no_room():
        worker.step()
    assert _open_files() == files
    record = job.refresh().record
    assert (record.state, record.releases, record.failures) == (State.READY, 1, 0)
    assert worker.receive() == [], "no hot loop"
    with pytest.raises(NotStarted, match="no process could be started"):
        executors.check_begun()
    executors.check_begun()
    clock.advance(timedelta(seconds=1))
    worker.step()
    assert job.refresh().result == 5


def test_each_time_it_is_left_alone_for_longer(
    queue: Queue, worker: Simulation, executors: Executors, clock: FakeClock
) -> None:
    pauses = []
    job = queue.submit("own-process", data={"do": "echo", "n": 5})
    with no_room():
        for _ in range(5):
            worker.step()
            with pytest.raises(NotStarted) as problem:
                executors.check_begun()
            pauses.append(problem.value.pause)
            clock.advance(problem.value.pause)
    assert pauses[-1] > 4 * pauses[0]
    assert job.refresh().record.failures == 0


def test_a_process_that_nobody_could_look_after_is_none(
    queue: Queue, worker: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    popen = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> Any:
        started.append(popen(*args, **kwargs))
        return started[-1]

    def refuse(**_: Any) -> None:
        raise RuntimeError("can't start new thread")

    none = SimpleNamespace(Thread=refuse, Lock=threading.Lock, Event=threading.Event)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(child_process, "threading", none)
    job = queue.submit("own-process", data={"do": "echo", "n": 5})
    worker.step()
    record = job.refresh().record
    assert (record.state, record.releases, record.failures) == (State.READY, 1, 0)
    assert [process.returncode for process in started] == [-9]


def test_a_worker_starts_without_processes_where_there_is_no_room_for_them(
    executors: Executors, caplog: pytest.LogCaptureFixture
) -> None:
    with no_room() as tried:
        executors.start(["own-process"])
    assert tried.count == 1
    assert "no process started for the next job" in caplog.text


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
