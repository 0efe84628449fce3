"""Bad input: refused before any request, in one line that names the value and the remedy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    InvalidBody,
    InvalidData,
    InvalidInput,
    InvalidName,
    JobNotFound,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    Submission,
    UnknownQueue,
    UnknownTask,
)
from remotejob.ports import Installation

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

REFUSED: dict[str, tuple[dict[str, Any], type[InvalidInput], str, str]] = {
    "unknown task": ({"task": "wrok"}, UnknownTask, "'wrok'", "add it to `tasks`"),
    "data: a set": ({"data": {1, 2}}, InvalidData, "set", "use dicts with text keys"),
    "data: not a number": ({"data": float("nan")}, InvalidData, "float values", "finite numbers"),
    "data: infinity": ({"data": [float("inf")]}, InvalidData, "float values", "finite numbers"),
    "data: bytes": ({"data": b"x"}, InvalidData, "bytes", "`body`"),
    "data: a circle": ({"data": CIRCLE}, InvalidData, "Circular", "use dicts"),
    "data: too deep": ({"data": DEEP}, InvalidData, "nested too deep", "flatten it"),
    "data: half a letter": ({"data": "\ud800"}, InvalidData, "ud800", "use dicts"),
    "data: a number for a key": ({"data": [{1: 2}]}, InvalidData, "key 1", "text keys"),
    "priority: no name": ({"priority": "hihg"}, InvalidData, "'hihg'", "low, normal, medium"),
    "priority: yes": ({"priority": True}, InvalidData, "True", "whole number"),
    "priority: huge": ({"priority": 10**40}, InvalidData, "priority=1000", "between"),
    "delay: seconds": ({"delay": 5}, InvalidData, "delay=5", "timedelta(seconds=5)"),
    "after: text": ({"after": "tomorrow"}, InvalidData, "'tomorrow'", "datetime"),
    "retry: a number": ({"retry": 3}, InvalidData, "retry=3", "Retry(max_attempts=3)"),
    "repeat: text": ({"repeat": "every day"}, InvalidData, "'every day'", "use Repeat, such as"),
    "depends: an id": ({"depends": "ID"}, InvalidData, "'ID'", "give a list, [job]"),
    "depends: a number": ({"depends": 5}, InvalidData, "depends=5", "give a list of jobs"),
    "depends: of none": ({"depends": [None]}, InvalidData, "None", "give jobs, or their ids"),
    "name: a number": ({"body": b"x", "filename": 5}, InvalidName, "5", "text"),
    "resource: a number": ({"resource": 5}, InvalidName, "resource 5", "text"),
    "tenant: a number": ({"tenant": 5}, InvalidName, "tenant 5", "text"),
    "window: hours": (
        {"idempotency_key": "k", "idempotency_window": 24},
        InvalidData,
        "idempotency_window=24",
        "use a timedelta",
    ),
    "name: dots": ({"body": b"x", "filename": ".."}, InvalidName, "'..'", "name the file"),
    "name: a folder": ({"body": b"x", "filename": "a/b"}, InvalidName, "'a/b'", "without its"),
    "name: empty": ({"body": b"x", "filename": ""}, InvalidName, "empty", "give it a name"),
    "name: control": ({"body": b"x", "filename": "a\nb"}, InvalidName, r"'a\nb'", "no control"),
    "name: long": ({"body": b"x", "filename": "n" * 256}, InvalidName, "nnn", "shorten it"),
    "body: missing": ({"body": "nowhere.jpg"}, InvalidBody, "'nowhere.jpg'", "check the path"),
    "body: a path that is empty": ({"body": ""}, InvalidBody, "body ''", "give the path"),
    "body: text stream": ({"body": io.StringIO("x")}, InvalidBody, "StringIO", "mode 'rb'"),
    "body: a number": ({"body": 7}, InvalidBody, "7", "give a path"),
    "delay and after": (
        {"delay": timedelta(1), "after": datetime(2026, 1, 1, tzinfo=UTC)},
        InvalidData,
        "delay and after",
        "give one of them",
    ),
    "delay: negative": ({"delay": -timedelta(seconds=1)}, InvalidData, "delay=", "negative"),
    "after: without a zone": (
        {"after": datetime(2026, 1, 1)},  # noqa: DTZ001 (that is what is refused)
        InvalidData,
        "after=",
        "time zone",
    ),
}


def _one_line(problem: Exception, value: str, remedy: str) -> None:
    message = str(problem)
    assert "\n" not in message
    assert value in message
    assert remedy in message


@pytest.mark.parametrize(("options", "error", "value", "remedy"), REFUSED.values(), ids=REFUSED)
def test_submit_refuses_before_any_request(
    untouched: Queue, options: dict[str, Any], error: type[InvalidInput], value: str, remedy: str
) -> None:
    with pytest.raises(error) as refusal:
        untouched.submit(**{"task": "work", **options})
    _one_line(refusal.value, value, remedy)


@pytest.mark.parametrize(("options", "error", "value", "remedy"), REFUSED.values(), ids=REFUSED)
def test_one_bad_submission_of_many_refuses_all_before_any_request(
    untouched: Queue, options: dict[str, Any], error: type[InvalidInput], value: str, remedy: str
) -> None:
    good = Submission(task="work", body=b"good")
    bad = Submission(**{"task": "work", **options})
    with pytest.raises(error) as refusal:
        untouched.submit_many([good, bad, good])
    _one_line(refusal.value, value, remedy)


def test_what_is_no_submission_is_refused_with_how_to_write_one(untouched: Queue) -> None:
    many: list[Any] = [Submission("work"), "work"]
    with pytest.raises(InvalidData) as refusal:
        untouched.submit_many(many)
    _one_line(refusal.value, "'work'", "write Submission('work', data=...)")


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"wait": 5}, "wait=5: use a timedelta"),
        ({"until": "2026-01-01"}, "until='2026-01-01': use a datetime"),
        ({"times": "3"}, "times='3': use a whole number"),
        ({"schedule": 15}, "schedule=15: write 'every 15 minutes'"),
        ({"schedule": "every day", "time_zone": UTC}, "use its IANA name"),
    ],
)
def test_a_repeat_of_wrong_types_is_refused(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        Repeat(**options)
    assert value in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"wait": 5}, "wait=5: use a timedelta"),
        ({"until": "2026-01-01"}, "until='2026-01-01': use a datetime"),
        ({"max_attempts": "3"}, "max_attempts='3': use at least 1"),
    ],
)
def test_a_retry_of_wrong_types_is_refused(options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidData) as refusal:
        Retry(**options)
    assert value in str(refusal.value)


def test_a_submission_names_its_task_without_a_keyword(queue: Queue) -> None:
    assert Submission("work", data=1) == Submission(task="work", data=1)
    jobs = queue.submit_many([Submission("work", data=1), Submission("other")])
    assert [(job.task, job.data) for job in jobs] == [("work", 1), ("other", None)]
    with pytest.raises(TypeError, match="positional"):
        Submission("work", 1)  # type: ignore[call-arg]


def test_a_folder_is_refused(untouched: Queue, tmp_path: Path) -> None:
    with pytest.raises(InvalidBody) as refusal:
        untouched.submit("work", body=tmp_path)
    _one_line(refusal.value, str(tmp_path), "one by one")
    with pytest.raises(InvalidBody, match=r"is a folder.*map"):
        untouched.submit("work", body=".")


def test_a_file_read_to_its_end_is_refused(untouched: Queue, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        file.read()
        with pytest.raises(InvalidBody, match="empty"):
            untouched.submit("work", body=file)


def test_a_file_whose_own_name_cannot_be_one_is_refused(untouched: Queue, tmp_path: Path) -> None:
    path = tmp_path / "a\x07b"
    path.write_bytes(b"content")
    with pytest.raises(InvalidName) as refusal:
        untouched.submit("work", body=path)
    _one_line(refusal.value, r"'a\x07b'", "no control characters")


def test_a_file_name_that_is_no_text_is_refused(untouched: Queue) -> None:
    with pytest.raises(InvalidName) as refusal:
        untouched.submit("work", body=b"x", filename="a\udcff.jpg")
    _one_line(refusal.value, r"udcff", "control characters")


def test_an_unknown_queue_names_those_there_are(installation: Installation) -> None:
    with pytest.raises(UnknownQueue) as refusal:
        RemoteJob(installation).queue("defualt")
    _one_line(refusal.value, "'defualt'", "default, second")


def test_an_unknown_task_error_names_the_tasks_of_the_queue(untouched: Queue) -> None:
    with pytest.raises(UnknownTask, match="other, work"):
        untouched.submit("thumbnial")


@pytest.mark.parametrize("job_id", ["", "x", "../../etc", "01kf0rdqg00000000000000000"])
def test_what_is_no_job_id_is_refused_before_any_request(untouched: Queue, job_id: str) -> None:
    system = RemoteJob(untouched._installation)
    with pytest.raises(InvalidName) as refusal:
        system.job(job_id)
    _one_line(refusal.value, repr(job_id), "26 letters")


def test_an_unknown_job_is_not_found(installation: Installation) -> None:
    with pytest.raises(JobNotFound) as refusal:
        RemoteJob(installation).job("01KF0RDQG00000000000000000")
    _one_line(refusal.value, "01KF0RDQG00000000000000000", "another system")


def test_an_unknown_state_names_those_there_are(untouched: Queue) -> None:
    with pytest.raises(InvalidName) as refusal:
        untouched.jobs(state="done")
    _one_line(refusal.value, "'done'", "completed")


def test_a_generator_of_submissions_is_checked_whole(untouched: Queue) -> None:
    def submissions() -> Iterator[Submission]:
        yield Submission(task="work")
        yield Submission(task="nothing")

    with pytest.raises(UnknownTask):
        untouched.submit_many(submissions())
