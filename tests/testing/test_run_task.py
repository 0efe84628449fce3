"""One run of one task: what it is given, what it returns, and what it raises."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    AsyncRunningJob,
    Completion,
    Fatal,
    InvalidBody,
    InvalidData,
    InvalidName,
    JobCancelled,
    NoInput,
    OutputNotFound,
    Process,
    Retry,
    RunningJob,
    task,
)
from remotejob.testing import Ending, run_task


def describe(job: RunningJob) -> dict[str, Any]:
    file = job.input
    return {
        "name": job.filename,
        "type": None if file is None else file.content_type,
        "text": None if file is None else job.download().read_text(),
        "data": job.data,
        "attempt": job.attempt,
        "task": job.task,
        "resumed": job.resumed_from,
    }


def test_the_input_may_be_a_path_bytes_or_text(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("höre")
    for run in (run_task(describe, file), run_task(describe, str(file))):
        assert (run.result["name"], run.result["type"]) == ("letter.txt", "text/plain")
        assert run.result["text"] == "höre"
    assert run_task(describe, "höre".encode()).result["text"] == "höre"
    assert run_task(describe, text="höre").result["text"] == "höre"
    assert run_task(describe, text="").result["text"] == ""
    assert run_task(describe, b"x").result["name"] == "input"
    named = run_task(describe, b"x", filename="a.pdf", content_type="text/x-odd").result
    assert (named["name"], named["type"]) == ("a.pdf", "text/x-odd")


def test_the_job_has_its_data_attempt_and_checkpoint() -> None:
    run = run_task(describe, data={"a": [1, None]}, checkpoint={"b": 2}, attempt=3)
    assert run.result == {
        "name": None,
        "type": None,
        "text": None,
        "data": {"a": [1, None]},
        "attempt": 3,
        "task": "describe",
        "resumed": {"b": 2},
    }
    assert run_task(describe).result["resumed"] is None


def test_all_that_it_reports_is_returned(tmp_path: Path) -> None:
    def report(job: RunningJob) -> Completion:
        path = job.folder() / "made.csv"
        path.write_bytes(b"1,2")
        job.output("made.csv", path)
        job.output("other.bin", b"\x00", content_type="application/x-other")
        job.log("hello", level="warning", data={"n": 1})
        job.log("bye")
        job.progress(1, 4)
        job.progress(4, 4)
        job.checkpoint({"at": 1})
        job.checkpoint("x" * 2000)
        return Completion(result=(1, 2))

    run = run_task(report)
    assert run.result == [1, 2]
    assert (run.ending, run.error, run.traceback, run.retry_in) == (
        Ending.COMPLETED,
        None,
        None,
        None,
    )
    assert run.outputs["made.csv"].read_text() == "1,2"
    assert run.outputs["made.csv"].content_type == "text/csv"
    assert run.outputs["made.csv"].download(tmp_path).read_bytes() == b"1,2"
    other = run.outputs["other.bin"]
    assert (other.size, other.content_type) == (1, "application/x-other")
    assert run.messages == ["hello", "bye"]
    assert (run.logs[0].level, run.logs[0].data) == ("warning", {"n": 1})
    assert list(run.progress) == [(1, 4), (4, 4)]
    assert run.checkpoints == ({"at": 1}, "x" * 2000)
    with pytest.raises(
        OutputNotFound, match=r"has no output 'missing'; it has made\.csv, other\.bin"
    ):
        _ = run.outputs["missing"]


def test_its_folder_is_gone_afterwards() -> None:
    assert not Path(run_task(lambda job: str(job.folder())).result).exists()


def test_it_raises_what_the_task_raised_and_says_what_a_worker_would_do() -> None:
    @task("flaky", retry=Retry(max_attempts=2, wait=timedelta(minutes=5)))
    def flaky(job: RunningJob) -> None:
        job.output("half.txt", b"half")
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck") as raised:
        run_task(flaky)
    assert [entry.name for entry in raised.traceback][1:] == ["run_task", "flaky"]
    assert raised.value.__notes__ == [
        "task 'flaky': attempt 1 failed, and a worker would run it again in 0:05:00"
    ]
    with pytest.raises(ValueError, match="no luck") as raised:
        run_task("flaky", attempt=2)
    assert raised.value.__notes__ == [
        "task 'flaky': attempt 2 failed, and a worker would not run it again"
    ]
    kept = run_task(flaky, on_error="keep")
    assert (kept.ending, kept.retry_in, kept.result) == ("retried", timedelta(minutes=5), None)
    assert isinstance(kept.error, ValueError)
    assert "no luck" in str(kept.traceback)
    assert kept.outputs["half.txt"].read_text() == "half"
    assert run_task(flaky, attempt=2, on_error="keep").ending == "failed"


@pytest.mark.parametrize("error", [Fatal("never"), SystemExit(3)])
def test_errors_of_every_kind_fail_it(error: BaseException) -> None:
    def fail(job: RunningJob) -> None:
        raise error

    run = run_task(fail, on_error="keep")
    assert (run.error, run.ending) == (error, "failed")


def test_what_ends_a_test_is_no_failure_of_the_task() -> None:
    def stop(job: RunningJob) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(stop, on_error="keep")


@pytest.mark.parametrize("stubborn", [False, True], ids=["stops", "goes on"])
def test_a_cancelled_job_has_no_result(stubborn: bool) -> None:  # noqa: FBT001 (a case)
    def work(job: RunningJob) -> str:
        job.progress(1, 3)
        job.progress(2, 3)
        if not stubborn:
            job.progress(3, 3)
        return "done"

    with pytest.raises(JobCancelled):
        run_task(work, cancel_at_progress=2)
    run = run_task(work, cancel_at_progress=2, on_error="keep")
    assert (run.ending, run.result, run.progress) == ("cancelled", None, ((1, 3), (2, 3)))
    assert run_task(work, cancel_at_progress=4).result == "done"


def test_a_result_that_is_no_json_fails_it() -> None:
    with pytest.raises(InvalidData, match="the result"):
        run_task(lambda job: {1, 2})


def test_a_task_without_an_input_says_so() -> None:
    with pytest.raises(NoInput):
        run_task(lambda job: job.open())


def test_async_tasks_and_those_of_a_process_run_here() -> None:
    async def wait(job: AsyncRunningJob) -> str:
        await asyncio.sleep(0)
        return await job.read_text() if hasattr(job, "read_text") else job.task

    @task("heavy", runs_in=Process(memory_mib=64))
    def heavy(job: RunningJob) -> list[int]:
        seen.append(1)
        return seen

    async def within_a_loop() -> Any:
        return run_task(wait).result

    seen: list[int] = []
    assert run_task(wait).result == "wait"
    assert asyncio.run(within_a_loop()) == "wait"
    assert run_task(heavy).result == seen == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"task": "unheard"}, InvalidName, "'unheard' is not registered"),
        ({"task": 3}, InvalidData, "a task's function, or its name"),
        ({"file": "no such text"}, InvalidBody, "a str is a path, so give content as text="),
        ({"file": Path("/not/there")}, InvalidBody, "no such file"),
        ({"file": b"x", "text": "x"}, InvalidBody, "give one of them"),
        ({"file": 3}, InvalidBody, "3"),
        ({"text": b"x"}, InvalidData, "text"),
        ({"filename": "a.txt"}, InvalidData, "give file or text"),
        ({"file": b"x", "filename": "a/b"}, InvalidName, "a/b"),
        ({"data": {1}}, InvalidData, "data"),
        ({"checkpoint": {1}}, InvalidData, "checkpoint"),
        ({"attempt": 0}, InvalidData, "attempt=0"),
        ({"cancel_at_progress": 0}, InvalidData, "cancel_at_progress=0"),
        ({"on_error": "shrug"}, InvalidName, "shrug"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        run_task(**{"task": describe, **arguments})
