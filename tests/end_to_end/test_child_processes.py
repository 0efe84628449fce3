"""A worker whose jobs run in child processes: what one of them loses is no other's loss."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob import Job, Queue, RemoteJob, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from remotejob.names import Env
from tests.end_to_end.waiting import NOTED, PATIENCE, end_polls, given_back, until

DECLINED = "task 'crash_once' is not registered in this worker; passing the job on in 5 s"


@pytest.fixture
def worker(aws: EmbeddedAws) -> Iterator[Worker]:
    """Two children, one job each at a time."""
    started = aws.start_worker(environment={Env.PROCESSES: "2", Env.CONCURRENCY: "1"})
    yield started
    if started.poll() is None:
        started.kill()
        started.wait()


def logged(worker: Worker, message: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in worker.log.read_text().splitlines())
    return [line for line in lines if line["message"] == message]


def process_of(job: Job) -> int:
    """The process that runs it, or ran it last."""
    return int((job.refresh().record.worker or "").rpartition(".")[2])


def held(queue: Queue, folder: Path) -> Job:
    """A job that runs until the file `go` is in the folder."""
    folder.mkdir()
    job = queue.submit("hold", data={"folder": str(folder)})
    until(lambda: [*folder.glob("begun-*")], what="the run's beginning")
    return job


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.exhaustive
def test_crashes_of_one_child_disturb_no_other_and_its_jobs_are_run_again(
    queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    undisturbed = held(queue, tmp_path / "held")
    # as many as the failed starts it takes to give up: none of these deaths is one
    crashing = [queue.submit("crash_once", data={"folder": str(tmp_path)}) for _ in range(3)]

    for job in crashing:
        # the lease of the dead run ends first
        job.wait(PATIENCE)

    assert [job.state for job in crashing] == [State.COMPLETED] * 3
    assert {(job.record.crashes, job.record.failures) for job in crashing} == {(1, 0)}
    restarted = logged(worker, "child restarted")
    assert [line["restarts"] for line in restarted] == [1, 2, 3]
    assert {line["exit_code"] for line in restarted} == {1}
    pids = {line["pid"] for line in restarted}
    assert {int(job.result) for job in crashing} <= pids, "the other child was busy"

    (tmp_path / "held" / "go").touch()
    undisturbed.wait(PATIENCE)
    assert undisturbed.state is State.COMPLETED
    assert (undisturbed.attempt, undisturbed.record.crashes) == (1, 0)
    assert process_of(undisturbed) not in {*pids, worker.pid}


@pytest.mark.exhaustive
def test_stopped_supervisor_waits_for_what_its_children_run(
    queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    jobs = [held(queue, tmp_path / name) for name in ("one", "two")]
    processes = {process_of(job) for job in jobs}
    assert len(processes) == 2, "each child runs one"

    worker.terminate()
    until(lambda: len(logged(worker, "worker drains")) == 2, what="both children drain")
    others = end_polls(queue)
    for name in ("one", "two"):
        (tmp_path / name / "go").touch()

    assert worker.wait(PATIENCE) == 0
    assert [job.refresh().state for job in jobs] == [State.COMPLETED] * 2
    assert given_back(others)
    assert not any(runs(pid) for pid in processes)


@pytest.mark.exhaustive
def test_children_that_cannot_start_end_the_worker_with_their_status(aws: EmbeddedAws) -> None:
    worker = aws.start_worker(environment={Env.PROCESSES: "2", Env.TASKS: "tests.no_such_tasks"})

    assert worker.wait(PATIENCE) == 2

    assert "tests.no_such_tasks" in worker.log.read_text()
    (line,) = [line for line in worker.log.read_text().splitlines() if "giving up" in line]
    assert json.loads(line)["level"] == "CRITICAL"


def test_number_of_processes_that_makes_no_sense_is_refused(aws: EmbeddedAws) -> None:
    worker = aws.start_worker(environment={Env.PROCESSES: "some"})

    assert worker.wait(PATIENCE) == 2

    assert "REMOTEJOB_PROCESSES='some'" in worker.log.read_text()


@pytest.mark.exhaustive
def test_children_notify_hooks_of_jobs_and_the_supervisor_of_children(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    noted = tmp_path / "noted.txt"
    worker = aws.start_worker(
        environment={
            Env.PROCESSES: "1",
            Env.HOOKS: "tests.end_to_end.noting",
            NOTED: str(noted),
        }
    )
    try:
        job = queue.submit("crash_once", data={"folder": str(tmp_path)})
        job.wait(PATIENCE)
        until(lambda: noted.exists() and job.id in noted.read_text(), what="both are noted")
    finally:
        worker.kill()
        worker.wait()
    # the worker may also have met a job that another test left in the queue
    noted_lines = noted.read_text().splitlines()
    ours = [line for line in noted_lines if line.endswith(job.id) or "child_restarted" in line]
    assert ours == ["child_restarted 1", f"completed {job.id}"]


def test_worker_with_some_abilities_leaves_other_tasks_to_others(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    worker = aws.start_worker(environment={Env.ABILITIES: "hold, forbidden"})
    try:
        other = queue.submit("crash_once", data={"folder": str(tmp_path)})
        job = queue.submit("hold", data={"folder": str(tmp_path)})
        assert job.wait(PATIENCE).state is State.COMPLETED
        until(lambda: logged(worker, DECLINED), what="the other task is passed on")
    finally:
        worker.kill()
        worker.wait()
    assert other.refresh().state is State.READY
    assert other.cancel().state is State.CANCELLED


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (Env.ABILITIES, "hodl", "hodl"),
        (Env.ABILITIES, " , ", "name tasks of the queue"),
        (Env.HOOKS, "tests.no_such_hooks", "registers the hooks"),
        (Env.TASKS, "tests.no_such_tasks", "registers the tasks"),
        (Env.CONCURRENCY, "many", "use a whole number"),
    ],
)
def test_worker_with_a_nonsense_environment_does_not_start_and_says_so(
    aws: EmbeddedAws, system: RemoteJob, variable: Env, value: str, told: str
) -> None:
    worker = aws.start_worker(environment={variable: value})

    assert worker.wait(PATIENCE) == 2

    assert told in worker.log.read_text()
    (failed,) = [status for status in system.workers("default") if status.cannot_start]
    assert told in str(failed.cannot_start)
    assert not failed.takes_jobs


@pytest.mark.exhaustive
def test_jobs_beside_those_that_kill_each_worker_complete(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    # waits for the ends of many leases, one after the other
    started = aws.start_worker(environment={Env.PROCESSES: "1", Env.CONCURRENCY: "4"})
    try:
        honest = [queue.submit("hold", data={"folder": str(tmp_path)}) for _ in range(2)]
        until(lambda: len([*tmp_path.glob("begun-*")]) >= 2, what="the runs' beginning")
        data = {"folder": str(tmp_path), "always": True}
        deadly = [queue.submit("crash_once", data=data) for _ in range(3)]
        until(lambda: all(job.refresh().crashes for job in honest), what="a death in company")
        (tmp_path / "go").touch()
        for job in (*honest, *deadly):
            job.wait(4 * PATIENCE)
    finally:
        started.kill()
        started.wait()

    assert [job.state for job in honest] == [State.COMPLETED] * 2
    assert [(job.state, job.crashes) for job in deadly] == [(State.FAILED, 3)] * 3
    assert {job.errors[-1].kind for job in deadly} == {"WorkerDied"}
