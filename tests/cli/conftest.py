"""A system in memory whose clock a test moves, and the commands on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from remotejob import RemoteJob, Retry, RunningJob
from remotejob.cli.app import app
from remotejob.cli.common import err, out
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _nothing_left_to_print() -> Iterator[None]:
    """A console keeps what it could not write, and would print it in the next test."""
    yield
    for console in (out, err):
        with console.capture():
            pass


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"default": ("work", "a-task-with-a-longer-name")})


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation, worker="w1")

    @simulation.tasks.task("work", retry=Retry(max_attempts=1))
    def work(job: RunningJob) -> object:
        if job.data == "fail":
            raise ValueError("no such size\nnor any other")
        if isinstance(job.data, str) and job.data.startswith("one reason"):
            raise ValueError(job.data)
        if job.data == "output":
            job.output("page.png", b"made")
        return {"größe": True, "of": None}

    return simulation


@pytest.fixture
def run(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command, which must end with `code`."""
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(installation))
    monkeypatch.setattr(sys, "argv", ["remotejob"])

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done

    return run
