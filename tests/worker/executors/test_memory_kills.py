"""A process that the kernel kills because memory ran out: perhaps another job took the memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import Queue, Retry, State
from remotejob.ports import Installation
from remotejob.tasks import registry
from remotejob.testing import Simulation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes import memory_kills
from tests.worker.executors import work
from tests.worker.executors.scenes import of_module


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the kernel counts."""
    file = tmp_path / "memory.events"
    file.write_text("oom 3\noom_kill 2\n")
    monkeypatch.setattr(memory_kills, "FILES", (tmp_path / "missing", file))
    return file


@pytest.fixture
def worker(installation: Installation, counted: Path) -> Iterator[Simulation]:
    """With no process that began before."""
    executors = Executors(of_module(work).values())
    yield Simulation(installation=installation, tasks=registry, call=executors.run)
    executors.close(within=timedelta(seconds=10))


def test_job_whose_process_dies_of_memory_is_given_back_twice_and_then_fails(
    queue: Queue, worker: Simulation, counted: Path
) -> None:
    data = {"do": "run_out_of_memory", "file": str(counted)}
    job = queue.submit("own-process", data=data, retry=Retry(max_attempts=1))

    seen = []
    for _ in range(3):
        worker.step()
        seen.append((job.refresh().state, job.crashes, job.record.failures))

    assert seen == [(State.READY, 1, 0), (State.READY, 2, 0), (State.FAILED, 2, 1)]
    assert job.errors[-1].kind == "ProcessDied"


def test_process_killed_otherwise_fails_its_attempt(
    queue: Queue, worker: Simulation, counted: Path
) -> None:
    job = queue.submit("own-process", data={"do": "die"}, retry=Retry(max_attempts=1))
    worker.step()
    assert (job.refresh().state, job.crashes) == (State.FAILED, 0)


@pytest.mark.parametrize("text", ["", "oom_kill", "oom_kill many\n", "oom 1\n"])
def test_count_that_cannot_be_read_is_none(counted: Path, text: str) -> None:
    assert memory_kills.memory_kills() == 2
    counted.write_text(text)
    assert memory_kills.memory_kills() is None
