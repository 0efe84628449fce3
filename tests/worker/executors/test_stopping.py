"""Runs that must stop: told first, and killed where they take no notice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import Job, Queue, RemoteJob, RunningJob, State
from remotejob.domain.errors import WorkerStopping
from remotejob.ports import Received
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.runs.run import Run
from tests.end_to_end.waiting import until
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import going_on, lives, told, until_gone

Begun = Callable[..., Job]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a task tells of its processes."""
    return tmp_path / "told"


@pytest.fixture
def begun(queue: Queue, file: Path) -> Begun:
    def submit(do: str, *, task: str, **data: str) -> Job:
        return queue.submit(task, data={"do": do, "told": str(file), **data})

    return submit


def the_run(worker: Simulation) -> Run:
    (run,) = worker.runs.running()
    return run


def test_a_task_that_ignores_its_timeout_is_killed_after_its_grace(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path, done: Done
) -> None:
    job = begun("ignore", task="timed")
    with going_on(worker):
        pids = told(file)
        clock.advance(timedelta(seconds=61))
        assert worker.heartbeats.beat() == [], "it is not ended over its head"
    assert job.refresh().state is State.FAILED
    (failed,) = job.errors
    assert failed.kind == "TimedOut"
    assert failed.message == "the run took longer than the 0:01:00 its task allows"
    assert not lives(pids[0]), "dead before its end was told"
    until_gone(pids)
    assert done("pid").state is State.COMPLETED


def test_a_task_that_notices_its_timeout_ends_by_itself_and_its_process_is_kept(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path, tmp_path: Path
) -> None:
    noticed = tmp_path / "noticed"
    job = begun("notice", task="patient-timed", noticed=str(noticed))
    with going_on(worker):
        (pid,) = told(file)
        clock.advance(timedelta(seconds=61))
        worker.beat()
    assert noticed.read_text() == "TimedOut"
    assert job.refresh().errors[0].kind == "TimedOut"
    assert lives(pid)


def test_a_task_that_ignores_its_cancellation_is_killed_after_its_grace(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path
) -> None:
    job = begun("ignore", task="own-process")
    with going_on(worker):
        pids = told(file)
        job.cancel()
        clock.advance(timedelta(minutes=4))
        worker.beat()
    assert job.refresh().state is State.CANCELLED
    until_gone(pids)


def test_a_lost_lease_kills_at_once(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path
) -> None:
    job = begun("ignore", task="patient")
    with going_on(worker):
        pids = told(file)
        clock.advance(timedelta(minutes=11))
        other = Simulation(installation=worker.installation, worker="other", tasks=worker.tasks)
        _taken_by(other, job)
        worker.beat()
    until_gone(pids)
    record = job.refresh().record
    assert record.worker == "other"
    assert record.state is State.RUNNING
    assert record.failures == 0


def test_a_lease_that_ends_unproven_kills_at_once(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = begun("ignore", task="patient")
    with going_on(worker):
        pids = told(file)
        clock.advance(timedelta(minutes=11))
        with monkeypatch.context() as broken:
            broken.setattr(worker.installation.store, "update", _unanswered)
            worker.beat()
            until_gone(pids)
    assert job.refresh().record.failures == 0


def test_a_run_that_is_given_back_is_dead_before_another_may_begin(
    begun: Begun, worker: Simulation, file: Path
) -> None:
    job = begun("ignore", task="patient")
    with going_on(worker):
        pids = told(file)
        worker.handler.end_run(the_run(worker), WorkerStopping("going"))
        assert not lives(pids[0])
    until_gone(pids)
    seen = job.refresh().record
    assert (seen.state, seen.releases, seen.failures) == (State.READY, 1, 0)


def test_a_run_that_is_given_back_may_notice_first(
    begun: Begun, worker: Simulation, file: Path, tmp_path: Path
) -> None:
    noticed = tmp_path / "noticed"
    job = begun("notice", task="patient", noticed=str(noticed))
    with going_on(worker):
        (pid,) = told(file)
        reason = WorkerStopping("going")
        worker.handler.end_run(the_run(worker), reason, grace=timedelta(minutes=1))
    assert noticed.read_text() == "WorkerStopping"
    assert job.refresh().record.releases == 1
    assert lives(pid), "for the next job"


def test_silence_beyond_the_work_timeout_is_an_attempt_that_failed(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path
) -> None:
    job = begun("ignore", task="silent")
    with going_on(worker):
        pids = told(file)
        clock.advance(timedelta(seconds=20))
        worker.beat()
        assert lives(pids[0])
        clock.advance(timedelta(seconds=11))
        worker.beat()
    (failed,) = job.refresh().errors
    assert failed.kind == "TimedOut"
    assert failed.message == "the task gave no sign of life for 0:00:30 (work_timeout)"


def test_calls_of_the_job_are_signs_of_life(
    begun: Begun, worker: Simulation, clock: FakeClock, file: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    job = begun("progress_until", task="silent", go=str(go))
    with going_on(worker):
        told(file)
        for _ in range(4):
            at, run = clock.monotonic() + 20, the_run(worker)
            clock.advance(timedelta(seconds=20))
            until(lambda run=run, at=at: run.stop_signal.stirred >= at, what="a sign of life")  # type: ignore[misc]
            worker.beat()
        go.touch()
    assert job.refresh().state is State.COMPLETED


def test_work_timeout_holds_for_threads_too() -> None:
    clock = FakeClock()
    worker = Simulation(installation=memory_installation(clock))
    seen: list[bool] = []

    @worker.tasks.task("work", work_timeout=timedelta(seconds=30))
    def work(job: RunningJob) -> None:
        for seconds in (29, 29, 30):
            clock.advance(timedelta(seconds=seconds))
            worker.beat()
            seen.append(job.cancelled)

    job = RemoteJob(worker.installation).queue().submit("work")
    worker.step()
    assert seen == [False, False, True]
    (failed,) = job.refresh().errors
    assert failed.message == "the task gave no sign of life for 0:00:30 (work_timeout)"


def test_neighbours_of_a_process_that_is_killed_go_on(
    queue: Queue, worker: Simulation, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    jobs = [
        queue.submit("own-process", data={"do": "wait", "told": str(tmp_path / n), "go": str(go)})
        for n in ("one", "two")
    ]
    messages = worker.receive()
    with going_on(_attending(worker, messages[:1])), going_on(_attending(worker, messages[1:])):
        (one,), (two,) = told(tmp_path / "one"), told(tmp_path / "two")
        assert one != two
        subprocess.run(["kill", "-KILL", str(one)], check=True)
        until(lambda: jobs[0].refresh().state is State.FAILED, what="the end of the one")
        go.touch()
    assert jobs[1].refresh().result == two


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_and_what_it_started_die_with_the_worker(file: Path, how: signal.Signals) -> None:
    script = textwrap.dedent(
        f"""
        from remotejob import RemoteJob
        from remotejob.tasks import registry
        from remotejob.testing import Simulation, memory_installation
        from remotejob.worker.executors.executors import Executors
        from tests.worker.executors import work

        installation = memory_installation(queues={{"default": tuple(registry)}})
        executors = Executors(registry.values())
        RemoteJob(installation).queue().submit(
            "patient", data={{"do": "ignore", "told": {json.dumps(str(file))}}}
        )
        Simulation(installation=installation, tasks=registry, call=executors.run).step()
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    pids = told(file)
    assert len(pids) == 2
    assert all(lives(pid) for pid in pids)
    parent.send_signal(how)
    parent.wait()
    until_gone(pids)


def _taken_by(other: Simulation, job: Job) -> None:
    """Have another worker claim a job whose lease has ended, and go on with it."""
    for message in other.receive():
        begun = other.handler.begin(message)
        assert isinstance(begun, Run)
        assert begun.job_id == job.id


def _unanswered(*_: object) -> None:
    raise ConnectionError("no answer")


def _attending(worker: Simulation, messages: list[Received]) -> Simulation:
    """A worker on the same system that sees to these messages."""
    one = Simulation(installation=worker.installation, tasks=worker.tasks, call=worker.call)
    one.receive = lambda: messages  # type: ignore[method-assign]
    return one
