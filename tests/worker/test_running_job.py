"""What a task may say and make, and who sees it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    InvalidBody,
    InvalidData,
    InvalidName,
    LeaseLost,
    NoInput,
    Queue,
    RemoteJob,
    Retry,
    State,
)
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from tests.lost_answers import Lost, LostAnswer
from tests.progress import reported

Run = Callable[[Callable[[RunningJob], Any]], Any]


@pytest.fixture
def run(queue: Queue, worker: Simulation, tasks: Registry) -> Run:
    """Submit a job, run it as given, and return it."""

    def run(function: Callable[[RunningJob], Any]) -> Any:
        tasks.task("work")(function)
        job = queue.submit("work", body=b"content", filename="in.txt", data={"n": 1})
        worker.step()
        return job.refresh()

    return run


@pytest.mark.parametrize(("done", "total"), [(0, 1), (1, 1), (3, 7), (0.5, 1)])
def test_the_last_progress_is_in_the_record(run: Run, done: float, total: float) -> None:
    def work(job: RunningJob) -> None:
        job.progress(0, total)
        job.progress(done, total)

    assert reported(run(work)) == (done, total)


def test_a_heartbeat_shows_progress(queue: Queue, worker: Simulation, tasks: Registry) -> None:
    seen: list[tuple[float, float]] = []
    clock = worker.installation.clock

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.progress(1, 4)
        seen.append(submitted.refresh().progress)
        clock.sleep(timedelta(seconds=20))
        worker.beat()
        seen.append(submitted.refresh().progress)

    submitted = queue.submit("work")
    worker.step()
    assert seen == [(0, 1), (1, 4)]


def test_an_unknown_level_is_refused(run: Run) -> None:
    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidData, match="'error': use one of info, success"):
            job.log("x", level="error")  # type: ignore[arg-type]

    assert run(work).logs() == []


def test_log_data_that_json_cannot_write_is_refused(run: Run) -> None:
    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidData, match="log data"):
            job.log("x", data={1, 2})

    assert run(work).logs() == []


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "-/x", "a\nb"])
def test_an_output_that_cannot_be_called_so_is_refused(
    run: Run, installation: Installation, name: str
) -> None:
    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidName):
            job.output(name, b"x")

    assert dict(run(work).outputs) == {}
    assert list(installation.files.keys(Area.OUTPUT, "")) == []


def test_an_output_is_bytes_a_path_or_a_stream(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"from a path")

    def work(job: RunningJob) -> None:
        job.output("bytes", b"from bytes")
        job.output("path", tmp_path / "b")
        job.output("text path", str(tmp_path / "b"))
        job.output("stream", io.BytesIO(b"from a stream"))
        job.output("empty", b"")

    outputs = run(work).outputs
    assert {name: output.open().read() for name, output in outputs.items()} == {
        "bytes": b"from bytes",
        "path": b"from a path",
        "text path": b"from a path",
        "stream": b"from a stream",
        "empty": b"",
    }


def test_an_output_that_is_no_file_is_refused(run: Run, tmp_path: Path) -> None:
    def work(job: RunningJob) -> None:
        for body in (tmp_path / "missing", tmp_path):
            with pytest.raises(InvalidBody, match=r"'x'.*is not a file"):
                job.output("x", body)
        with pytest.raises(InvalidBody, match="mode 'rb'"):
            job.output("x", io.StringIO("text"))  # type: ignore[arg-type]

    assert dict(run(work).outputs) == {}


def test_an_output_of_the_same_name_replaces_the_first(run: Run) -> None:
    def work(job: RunningJob) -> None:
        job.output("a", b"first")
        job.output("a", b"second, longer")

    outputs = run(work).outputs
    assert outputs["a"].size == 14
    assert outputs["a"].open().read() == b"second, longer"


def once(installation: Installation) -> Installation:
    return replace(installation, write_once_outputs=True)


def made_by(function: Callable[[RunningJob], Any], installation: Installation) -> Any:
    """The job that a worker of this installation has run."""
    tasks = Registry()
    tasks.task("work")(function)
    job = RemoteJob(installation).queue().submit("work")
    Simulation(installation=installation, tasks=tasks).step()
    return job.refresh()


def test_an_output_that_is_written_once_is_not_replaced(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        job.output("a", b"first")
        with pytest.raises(InvalidName, match=r"output 'a' was written already.*another name"):
            job.output("a", b"second")
        job.output("b", io.BytesIO(b"other"))

    outputs = made_by(work, once(installation)).outputs

    assert {name: output.read_bytes() for name, output in outputs.items()} == {
        "a": b"first",
        "b": b"other",
    }


@pytest.mark.parametrize("lost", [Lost.SENT_AGAIN, Lost.ERROR, Lost.REFUSED])
def test_an_output_whose_answer_was_lost_is_its_own(
    installation: Installation, tmp_path: Path, lost: Lost
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    answer = LostAnswer("files.put", lost)

    def work(job: RunningJob) -> None:
        job.output("a", tmp_path / "file")

    job = made_by(work, intercepted(once(installation), answer))

    assert answer.happened
    assert job.state is State.COMPLETED
    assert job.outputs["a"].read_bytes() == b"content"


def test_an_error_that_is_no_proper_text_fails_the_job_all_the_same(run: Run) -> None:
    def work(job: RunningJob) -> None:
        raise FileNotFoundError("no file 'x\udcff'")

    job = run(work)

    assert job.state is State.FAILED
    assert job.errors[-1].message == "no file 'x?'"


def test_outputs_of_a_failed_job_are_not_visible(run: Run, installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        job.output("a", b"made before it failed")
        raise ValueError("no")

    job = run(work)
    assert job.state is State.FAILED
    assert dict(job.outputs) == {}
    assert len(list(installation.files.keys(Area.OUTPUT, ""))) == 1


def test_outputs_of_a_failed_run_are_not_outputs_of_the_job(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.output(f"of attempt {job.attempt}", b"x")
        job.output("same name", str(job.attempt).encode())
        if job.attempt == 1:
            raise ValueError("once")

    job = queue.submit("work", retry=Retry(max_attempts=2, wait=timedelta(0)))
    worker.step()
    assert dict(job.refresh().outputs) == {}
    worker.step()

    outputs = job.refresh().outputs
    assert set(outputs) == {"of attempt 2", "same name"}
    assert outputs["same name"].open().read() == b"2"


def test_a_task_reads_its_input_and_data(run: Run) -> None:
    def work(job: RunningJob) -> dict[str, Any]:
        with job.open() as stream:
            opened = stream.read()
        return {
            "opened": opened.decode(),
            "downloaded": job.download().read_text(),
            "name": job.download().name,
            "data": job.data,
        }

    assert run(work).result == {
        "opened": "content",
        "downloaded": "content",
        "name": "in.txt",
        "data": {"n": 1},
    }


def test_a_task_downloads_to_where_it_says(run: Run, tmp_path: Path) -> None:
    def work(job: RunningJob) -> None:
        assert job.download(tmp_path) == tmp_path / "in.txt"
        assert job.download(tmp_path / "mine") == tmp_path / "mine"

    run(work)
    assert (tmp_path / "in.txt").read_bytes() == (tmp_path / "mine").read_bytes() == b"content"


def test_a_job_without_a_body_says_so(queue: Queue, worker: Simulation, tasks: Registry) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for read in (job.open, job.download):
            with pytest.raises(InvalidBody, match=f"job {job.id} has no input; submit it with a"):
                read()

    job = queue.submit("work")
    worker.step()
    assert job.refresh().state is State.COMPLETED


def test_a_job_without_the_file_its_task_needs_is_not_tried_again(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work", retry=Retry(max_attempts=5, wait=timedelta(0)))
    def work(job: RunningJob) -> None:
        job.download()

    job = queue.submit("work")
    worker.step()

    assert job.refresh().state is State.FAILED
    (failure,) = job.errors
    assert failure.kind == "NoInput"
    assert f"job {job.id} has no input; submit it with a file" in failure.message
    assert "let the task look at job.input first" in failure.message
    assert issubclass(NoInput, InvalidBody)


def test_an_input_downloads_into_a_folder_that_is_made(run: Run, tmp_path: Path) -> None:
    def work(job: RunningJob) -> None:
        assert job.download(f"{tmp_path}/new/") == tmp_path / "new" / "in.txt"

    assert run(work).state is State.COMPLETED
    assert (tmp_path / "new" / "in.txt").read_bytes() == b"content"


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_folder_of_a_run_goes_with_it(run: Run, ends: str) -> None:
    folders: list[Path] = []

    def work(job: RunningJob) -> None:
        folders.append(job.folder())
        assert job.download().parent == job.folder()
        if ends == "badly":
            raise ValueError("no")

    run(work)
    assert not folders[0].exists()


def test_a_task_learns_that_its_lease_has_ended(run: Run, clock: FakeClock) -> None:
    learnt: list[bool] = []

    def work(job: RunningJob) -> None:
        learnt.append(job.cancelled)
        clock.advance(timedelta(seconds=60))
        learnt.append(job.cancelled)
        with pytest.raises(LeaseLost, match=job.id):
            job.check()
        for call in (job.open, job.download, lambda: job.log("x"), lambda: job.progress(1)):
            with pytest.raises(LeaseLost):
                call()
        with pytest.raises(LeaseLost):
            job.output("a", b"x")

    job = run(work)
    assert learnt == [False, True]
    # what it returned came too late to count
    assert job.state is State.RUNNING


def test_a_task_sees_the_time_it_has_left(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    left: list[timedelta | None] = []

    @tasks.task("work", timeout=timedelta(seconds=30))
    def work(job: RunningJob) -> None:
        left.append(job.time_left())
        clock.advance(timedelta(seconds=10))
        left.append(job.time_left())

    queue.submit("work")
    worker.step()
    assert left == [timedelta(seconds=30), timedelta(seconds=20)]


def test_a_task_without_a_timeout_has_no_end(run: Run) -> None:
    left: list[timedelta | None] = []
    run(lambda job: left.append(job.time_left()))
    assert left == [None]
