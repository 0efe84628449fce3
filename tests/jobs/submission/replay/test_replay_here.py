"""Replay in this process: what the task reads is the system's, what it writes stays here."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Fatal, InvalidName, Job, Queue, RemoteJob, RunningJob, State
from remotejob.client.replay_here import OnError
from remotejob.hooks import Hooks
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from tests.aws import counted_requests


@pytest.fixture
def failed(queue: Queue, installation: Installation) -> Job:
    """A job that failed, whose input was overwritten since."""
    worker = Simulation(installation=installation)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        job.log("in the system")
        raise Fatal("no")

    job = queue.submit("work", body=b"as it was", filename="a.txt", data={"size": 3})
    worker.step()
    assert job.input is not None
    installation.files.put(Area.INPUT, job.input.key, b"another one")
    return job.refresh()


class ReadOnly:
    """A port that fails the test when it is asked to change anything."""

    def __init__(self, inner: Any, allowed: set[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    def __getattr__(self, name: str) -> Any:
        assert name in self._allowed, f"{name} was called: a replay here changes nothing"
        return getattr(self._inner, name)


def guarded(job: Job, installation: Installation) -> Job:
    """The job, in a system that lets nobody write."""
    store: Any = ReadOnly(installation.store, {"get"})
    messages: Any = ReadOnly(installation.messages, {"capabilities"})
    files: Any = ReadOnly(installation.files, {"open", "download", "describe", "bucket", "keys"})
    read_only = replace(installation, store=store, messages=messages, files=files)
    return RemoteJob(read_only).job(job.id)


def busy(job: RunningJob) -> dict[str, Any]:
    """A task that uses all there is."""
    with job.open() as stream:
        text = stream.read()
    assert job.download().read_bytes() == text
    job.progress(1, 2)
    for number in range(20):
        job.log(f"line {number} " + "x" * 100)
    job.output("copy.txt", text)
    job.output("folder/more", b"more")
    return {"text": text.decode(), "data": job.data, "name": job.filename}


def test_replay_reads_what_the_job_had_and_writes_nothing(
    failed: Job, installation: Installation
) -> None:
    replayed = guarded(failed, installation).replay_here(busy)

    assert replayed.result == {"text": "as it was", "data": {"size": 3}, "name": "a.txt"}
    assert replayed.error is None
    with replayed.outputs["copy.txt"].open() as stream:
        assert stream.read() == b"as it was"
    assert set(replayed.outputs) == {"copy.txt", "folder/more"}
    assert [line.message[:7] for line in replayed.logs] == [f"line {n} "[:7] for n in range(20)]
    assert replayed.progress == (2, 2)


def test_the_job_is_as_it_was_after_a_replay(
    failed: Job, queue: Queue, installation: Installation
) -> None:
    before = failed.record
    outputs = list(installation.files.keys(Area.OUTPUT, ""))
    failed.replay_here(busy)

    assert failed.refresh().record == before
    assert len(queue.jobs()) == 1
    assert list(installation.files.keys(Area.OUTPUT, "")) == outputs
    assert [line.message for line in failed.logs()] == ["in the system"]


def test_replay_asks_aws_for_nothing_but_the_files(failed: Job, installation: Installation) -> None:
    with counted_requests() as requests:
        failed.replay_here(busy)
    assert set(requests) <= {"GetObject"}


def test_error_is_kept_with_its_traceback(failed: Job) -> None:
    def breaks(job: RunningJob) -> None:
        job.log("here")
        raise ValueError("no such size")

    replayed = failed.replay_here(breaks)
    assert isinstance(replayed.error, ValueError)
    assert replayed.result is None
    assert replayed.traceback is not None
    assert "in breaks" in replayed.traceback
    assert [line.message for line in replayed.logs] == ["here"]


@pytest.mark.parametrize("on_error", [OnError.RAISE, "raise"])
def test_error_is_raised_where_it_is_asked_for(failed: Job, on_error: OnError | str) -> None:
    def breaks(job: RunningJob) -> None:
        raise ValueError("no such size")

    with pytest.raises(ValueError, match="no such size"):
        failed.replay_here(breaks, on_error=on_error)


def test_task_that_exits_has_failed(failed: Job) -> None:
    def leaves(job: RunningJob) -> None:
        raise SystemExit(3)

    assert isinstance(failed.replay_here(leaves).error, SystemExit)


def test_ctrl_c_ends_the_replay(failed: Job) -> None:
    def interrupted(job: RunningJob) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failed.replay_here(interrupted)


def test_result_that_json_cannot_write_is_an_error_as_in_the_system(failed: Job) -> None:
    replayed = failed.replay_here(lambda job: {1, 2})
    assert "the result cannot be written as JSON" in str(replayed.error)


def test_result_of_a_completion_is_the_result(failed: Job) -> None:
    assert failed.replay_here(lambda job: Completion(result=(1, 2))).result == [1, 2]


def test_task_runs_in_this_thread_for_as_long_as_it_takes(failed: Job, clock: FakeClock) -> None:
    threads: list[threading.Thread] = []

    def stands_at_a_breakpoint(job: RunningJob) -> None:
        threads.append(threading.current_thread())
        clock.advance(timedelta(days=1))
        job.check()

    replayed = failed.replay_here(stands_at_a_breakpoint)
    assert replayed.error is None
    assert replayed.took == timedelta(days=1)
    assert threads == [threading.current_thread()]


def test_folder_of_the_run_goes_and_outputs_stay(failed: Job) -> None:
    folders = []

    def work(job: RunningJob) -> None:
        folders.append(job.folder())
        (job.folder() / "made").write_bytes(b"made")
        job.output("made", job.folder() / "made")

    replayed = failed.replay_here(work)
    assert not folders[0].exists()
    with replayed.outputs["made"].open() as stream:
        assert stream.read() == b"made"


def test_task_is_found_in_a_registry(failed: Job) -> None:
    tasks = Registry()
    tasks.task("work")(lambda job: job.attempt)
    assert failed.replay_here(tasks).result == 1

    with pytest.raises(InvalidName, match=r"'work' is not registered here \(registered: none\)"):
        failed.replay_here(Registry())
    with pytest.raises(InvalidName, match="on_error='print': use one of keep, raise"):
        failed.replay_here(tasks, on_error="print")


def test_a_replay_here_notifies_no_hook(failed: Job, installation: Installation) -> None:
    told: list[object] = []
    hooks = Hooks()
    hooks.on("progress", told.append)
    RemoteJob(replace(installation, hooks=hooks)).job(failed.id).replay_here(busy)
    assert told == []


def test_job_that_has_not_ended_is_replayed_here_too(queue: Queue) -> None:
    job = queue.submit("work", data=3)
    assert job.replay_here(lambda running: running.data).result == 3
    assert job.refresh().state is State.READY


def test_it_finds_the_jobs_that_its_job_depends_on(
    queue: Queue, installation: Installation
) -> None:
    worker = Simulation(installation=installation)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        job.output("page.txt", b"page")
        return "made"

    first = queue.submit("work")
    worker.step()
    second = queue.submit("work", depends=[first])
    worker.step()

    def chained(job: RunningJob) -> list[Any]:
        (one,) = job.antecedents()
        return [one.id, one.result, one.outputs["page.txt"].read_text()]

    assert second.refresh().replay_here(chained).result == [first.id, "made", "page"]
