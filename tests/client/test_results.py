"""Waiting for a job, and what it gives: result, outputs, errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    Fatal,
    JobFailed,
    JobNotFound,
    JobUnfinished,
    OutputNotFound,
    Queue,
    RemoteJob,
    State,
    WaitTimeout,
)
from remotejob.domain.times import from_ms
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation, memory_installation


class BusyClock(FakeClock):
    """A clock by which something happens whenever somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None
        self.sleeps: list[timedelta] = []

    def sleep(self, span: timedelta) -> None:
        self.sleeps.append(span)
        self.meanwhile()
        super().sleep(span)


@pytest.fixture
def clock() -> BusyClock:
    return BusyClock()


@pytest.fixture
def installation(clock: BusyClock) -> Installation:
    return memory_installation(clock)


def _fail(job: RunningJob) -> None:
    raise Fatal("no photo")


def test_wait_returns_once_the_job_has_completed(
    queue: Queue, clock: BusyClock, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: {"size": 400})
    job = queue.submit("work")
    clock.meanwhile = worker.step

    assert job.wait() is job
    assert (job.ended, job.result) == (True, {"size": 400})
    assert len(clock.sleeps) == 1


def test_wait_returns_a_failed_job_without_raising(
    queue: Queue, clock: BusyClock, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(_fail)
    clock.meanwhile = worker.step
    assert queue.submit("work").wait(timeout=10).state is State.FAILED


@pytest.mark.parametrize("timeout", [3, 3.0, timedelta(seconds=3)])
def test_wait_gives_up_after_its_timeout(
    queue: Queue, clock: BusyClock, timeout: timedelta | float
) -> None:
    job = queue.submit("work")
    began = clock.monotonic()

    with pytest.raises(WaitTimeout, match=f"job {job.id} is still ready after 3 s"):
        job.wait(timeout)

    assert clock.monotonic() - began == pytest.approx(3)


def test_wait_timeout_is_a_timeout_error(queue: Queue) -> None:
    with pytest.raises(TimeoutError):
        queue.submit("work").wait(0)


def test_wait_looks_less_and_less_often(queue: Queue, clock: BusyClock) -> None:
    with pytest.raises(WaitTimeout):
        queue.submit("work").wait(60)

    assert clock.sleeps[0] < clock.sleeps[1] < clock.sleeps[2]
    assert max(clock.sleeps) == timedelta(seconds=2)
    assert len(clock.sleeps) < 45


def test_a_job_that_is_gone_is_not_found(queue: Queue, installation: Installation) -> None:
    stoppable = RemoteJob(memory_installation()).queue().submit("work")
    gone = type(stoppable)(stoppable.record, installation)
    with pytest.raises(JobNotFound, match=stoppable.id):
        gone.refresh()


def test_there_is_no_result_before_the_end(queue: Queue) -> None:
    job = queue.submit("work")
    with pytest.raises(JobUnfinished, match=r"is ready; call wait\(\) first"):
        _ = job.result


def test_the_result_of_a_failed_job_says_why(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(_fail)
    job = queue.submit("work")
    worker.step()

    with pytest.raises(JobFailed, match=f"job {job.id} failed: Fatal: no photo"):
        _ = job.refresh().result


@pytest.mark.parametrize("result", [None, 0, False, "", [], {"a": {"b": [1.5, "ü", None]}}])
def test_a_result_comes_back_as_it_was(
    queue: Queue, worker: Simulation, tasks: Registry, result: Any
) -> None:
    tasks.task("work")(lambda job: result)
    job = queue.submit("work")
    worker.step()
    assert job.refresh().result == result


def test_a_job_tells_its_times_attempt_and_progress(
    queue: Queue, clock: BusyClock, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.progress(2, 5)
        clock.advance(timedelta(seconds=5))

    submitted = from_ms(clock.now_ms())
    job = queue.submit("work", priority=7)
    assert (job.attempt, job.progress, job.started_at, job.finished_at) == (0, (0, 1), None, None)
    clock.advance(timedelta(seconds=1))
    worker.step()
    job.refresh()

    assert (job.attempt, job.progress, job.priority) == (1, (5, 5), 7)
    assert (job.task, job.queue) == ("work", "default")
    assert job.created_at == submitted
    assert job.started_at == submitted + timedelta(seconds=1)
    assert job.finished_at == submitted + timedelta(seconds=6)


@pytest.fixture
def finished(queue: Queue, worker: Simulation, tasks: Registry) -> Any:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.output("small.png", b"small")
        job.output("pages/1.txt", b"page one", content_type="text/x")

    job = queue.submit("work")
    worker.step()
    return job.refresh()


def test_outputs_are_a_mapping_by_name(finished: Any) -> None:
    assert dict(finished.outputs).keys() == {"small.png", "pages/1.txt"}
    assert len(finished.outputs) == 2
    assert "small.png" in finished.outputs
    assert "large.png" not in finished.outputs


def test_an_output_tells_size_type_etag_and_place(finished: Any) -> None:
    output = finished.outputs["small.png"]
    assert (output.size, output.content_type) == (5, "image/png")
    assert output.etag
    assert output.key == f"default/{finished.id}/{finished.record.run_id}/small.png"
    assert finished.outputs["pages/1.txt"].content_type == "text/x"


def test_an_output_downloads_to_a_file_or_into_a_folder(finished: Any, tmp_path: Path) -> None:
    output = finished.outputs["pages/1.txt"]
    assert output.download(tmp_path / "mine.txt") == tmp_path / "mine.txt"
    assert output.download(str(tmp_path)) == tmp_path / "pages" / "1.txt"
    assert (tmp_path / "mine.txt").read_bytes() == b"page one"
    assert (tmp_path / "pages" / "1.txt").read_bytes() == b"page one"


def test_text_that_ends_in_a_slash_is_a_folder_which_is_made(finished: Any, tmp_path: Path) -> None:
    output = finished.outputs["small.png"]

    assert output.download(f"{tmp_path}/new/er/") == tmp_path / "new" / "er" / "small.png"
    assert output.download(f"{tmp_path}/file") == tmp_path / "file"
    assert (tmp_path / "new" / "er" / "small.png").read_bytes() == b"small"


def test_outputs_of_one_name_in_two_folders_do_not_overwrite_each_other(
    queue: Queue, worker: Simulation, tasks: Registry, tmp_path: Path
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for folder in ("a", "b"):
            job.output(f"{folder}/x", folder.encode())

    job = queue.submit("work")
    worker.step()
    paths = [output.download(tmp_path) for output in job.refresh().outputs.values()]

    assert {path.relative_to(tmp_path).as_posix() for path in paths} == {"a/x", "b/x"}
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


def test_what_is_printed_of_a_system_says_what_it_is(
    queue: Queue, installation: Installation, finished: Any
) -> None:
    assert repr(finished.outputs) == f"<Outputs of job {finished.id}: small.png, pages/1.txt>"
    assert repr(queue.submit("work").outputs).endswith(": none>")
    assert repr(RemoteJob(installation)) == "<RemoteJob memory with queues default>"
    assert repr(queue) == "<Queue default of memory runs work>"


def test_a_missing_output_names_those_there_are(finished: Any) -> None:
    with pytest.raises(OutputNotFound) as missing:
        _ = finished.outputs["large.png"]
    message = str(missing.value)
    assert message == (
        f"job {finished.id} is completed and has no output 'large.png'; "
        "it has small.png, pages/1.txt"
    )
    with pytest.raises(KeyError):
        _ = finished.outputs["large.png"]


def test_there_are_no_outputs_before_the_job_is_completed(queue: Queue) -> None:
    job = queue.submit("work")
    assert dict(job.outputs) == {}
    with pytest.raises(OutputNotFound, match="is ready and has no output 'x'; it has none"):
        _ = job.outputs["x"]
