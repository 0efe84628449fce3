"""Real worker processes that are told to stop, lose AWS for a while, are protected, and say how
they are."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob import Job, Queue, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from remotejob.names import Env
from tests.end_to_end.conftest import SETTINGS
from tests.end_to_end.waiting import PATIENCE, end_polls, given_back, until
from tests.worker.lifecycle.agent import Agent, agent

LEASE = tomllib.loads(SETTINGS.read_text())["system"]["lease_seconds"]
ON = {"ProtectionEnabled": True, "ExpiresInMinutes": 15}
OFF = {"ProtectionEnabled": False}


@pytest.fixture
def ecs() -> Iterator[Agent]:
    with agent() as made:
        yield made


@pytest.fixture
def started(aws: EmbeddedAws, tmp_path: Path, ecs: Agent) -> Iterator[Worker]:
    """A worker of one job at a time, with an agent to ask, and a folder of its own."""
    worker = aws.start_worker(
        environment={
            Env.CONCURRENCY: "1",
            "ECS_AGENT_URI": ecs.uri,
            "TMPDIR": str(tmp_path),
        }
    )
    yield worker
    if worker.poll() is None:
        worker.kill()
        worker.wait()


def begun(folder: Path) -> list[Path]:
    return [*folder.glob("begun-*")]


def held(queue: Queue, folder: Path) -> Job:
    """A job that is running, until the file `go` is in the folder."""
    folder.mkdir()
    job = queue.submit("hold", data={"folder": str(folder)})
    until(lambda: begun(folder), what="the run's beginning")
    return job


def logged(worker: Worker, message: str) -> bool:
    return any(message in line for line in worker.log.read_text().splitlines())


@pytest.mark.exhaustive
def test_idle_worker_signalled_twice_exits_at_once(started: Worker) -> None:
    until(lambda: logged(started, "worker starts"), what="its start")
    started.terminate()
    until(lambda: logged(started, "worker drains"), what="that it drains")
    began = time.monotonic()
    started.terminate()

    assert started.wait(PATIENCE) == 0
    assert time.monotonic() - began < 15, "it does not wait for its polls, of 20 s"


def test_worker_asked_to_hurry_gives_back_what_it_runs(
    queue: Queue, started: Worker, tmp_path: Path
) -> None:
    job = held(queue, tmp_path / "held")
    started.send(signal.SIGQUIT)

    assert started.wait(PATIENCE) == 0
    job.refresh()
    assert (job.state, job.attempt, job.record.releases) == (State.READY, 0, 1)
    job.cancel()


def test_worker_asked_softly_finishes_its_job_and_begins_no_other(
    queue: Queue, started: Worker, tmp_path: Path
) -> None:
    job = held(queue, tmp_path / "held")
    started.send(signal.SIGUSR1)
    until(lambda: logged(started, "worker drains"), what="that it drains")
    other = queue.submit("hold", data={"folder": str(tmp_path / "held")})
    (tmp_path / "held" / "go").touch()

    assert job.wait(PATIENCE).state is State.COMPLETED
    started.send(signal.SIGQUIT)
    assert started.wait(PATIENCE) == 0
    assert other.refresh().state is State.READY
    other.cancel()


def said(worker: Worker, event: str) -> int:
    """How often it is in the log."""
    return worker.log.read_text().count(f'"{event}"')


@pytest.mark.exhaustive
def test_soft_signal_and_a_hurried_one_reach_the_children(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    worker = aws.start_worker(environment={Env.PROCESSES: "2", Env.CONCURRENCY: "1"})
    try:
        job = held(queue, tmp_path / "held")
        # one that has not begun is simply ended
        until(lambda: said(worker, "worker starts") == 2, what="both children begin")
        worker.send(signal.SIGUSR1)
        until(lambda: said(worker, "worker drains") == 2, what="both children drain")
        assert job.refresh().state is State.RUNNING
        worker.send(signal.SIGQUIT)
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
    assert (job.refresh().state, job.attempt) == (State.READY, 0)
    job.cancel()


def test_worker_that_hangs_is_out_all_the_same(tmp_path: Path) -> None:
    """Whatever its threads hold: also what no thread lets go of, the interpreter itself."""
    program = (
        "import datetime, ctypes, os, signal\n"
        "from remotejob.container.stopping import stop_on_signals\n"
        "def stop(urgency): pass\n"
        "stop_on_signals(stop, grace=datetime.timedelta(0),"
        " margin=datetime.timedelta(milliseconds=300))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "ctypes.PyDLL(None).sleep(60)\n"
    )
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE)
    assert run.returncode == -signal.SIGALRM
    assert time.monotonic() - began < 30


def health_in(folder: Path) -> tuple[object, ...]:
    (file,) = folder.glob("*.health")
    said = json.loads(file.read_text())
    return said["running"], said["waiting"], said["problem"]


@pytest.mark.exhaustive
def test_worker_is_protected_while_it_is_busy_and_says_how_it_is(
    queue: Queue, started: Worker, tmp_path: Path, ecs: Agent
) -> None:
    job = held(queue, tmp_path / "held")
    assert ecs.asked.get(timeout=PATIENCE) == ON
    # the same second's beat asks for protection first, and then writes its health
    until(lambda: health_in(tmp_path) == (1, 0, None), what="that it is healthy with one run")
    (tmp_path / "held" / "go").touch()
    assert job.wait(PATIENCE).state is State.COMPLETED

    started.terminate()
    until(lambda: logged(started, "worker drains"), what="that it drains")
    others = end_polls(queue)
    # at the end of the drain, and not a quarter of a minute after the job
    assert ecs.asked.get(timeout=PATIENCE) == OFF
    assert started.wait(PATIENCE) == 0
    assert ecs.all_asked() == []
    assert given_back(others)


@pytest.mark.exhaustive
def test_children_share_one_protection(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path, ecs: Agent
) -> None:
    worker = aws.start_worker(
        environment={Env.PROCESSES: "2", Env.CONCURRENCY: "1", "ECS_AGENT_URI": ecs.uri}
    )
    try:
        jobs = [held(queue, tmp_path / name) for name in ("one", "two")]
        assert ecs.asked.get(timeout=PATIENCE) == ON
        (tmp_path / "one" / "go").touch()
        assert jobs[0].wait(PATIENCE).state is State.COMPLETED
        worker.send(signal.SIGQUIT)
        assert ecs.asked.get(timeout=PATIENCE) == OFF
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
    assert ecs.all_asked() == []
    assert jobs[1].refresh().state is State.READY
    jobs[1].cancel()


@pytest.mark.parametrize(
    "lost",
    [
        # in `tests.worker.lifecycle.test_outages` too, with a worker's threads alone
        pytest.param("dynamodb", marks=pytest.mark.exhaustive),
        pytest.param("credentials", marks=pytest.mark.exhaustive),
        pytest.param("sqs", marks=pytest.mark.exhaustive),
        pytest.param("s3", marks=pytest.mark.exhaustive),
    ],
)
def test_worker_carries_on_when_what_it_lost_returns(
    aws: EmbeddedAws, queue: Queue, started: Worker, tmp_path: Path, lost: str
) -> None:
    job = held(queue, tmp_path / "held")
    aws.fail(lost)
    last_heartbeat = time.time()
    try:
        until(lambda: time.time() > last_heartbeat + LEASE, what="the end of the lease")
        assert started.poll() is None
    finally:
        aws.fail()
    (tmp_path / "held" / "go").touch()

    assert job.wait(PATIENCE).state is State.COMPLETED
    assert job.record.failures == 0
    again = queue.submit("hold", data={"folder": str(tmp_path / "held")})
    assert again.wait(PATIENCE).state is State.COMPLETED
    assert started.poll() is None
    problems = [
        line
        for line in map(json.loads, started.log.read_text().splitlines())
        if line["level"] in ("ERROR", "WARNING", "CRITICAL")
    ]
    assert len(problems) <= 15, "no storm"
