"""Odd but harmless reports of a task are clamped, cut or noted, and never cost the work."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from remotejob import InvalidData, Job, RemoteJob, State
from remotejob.tasks import Registry, registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import Simulation, memory_installation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.runs import report
from tests.progress import reported
from tests.worker import odd_tasks


class Float:
    """A number of another library."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value


class Index:
    """A whole number of another library."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")


def ran(function: Callable[[RunningJob], Any]) -> Job:
    """A job that ran so, and completed."""
    tasks = Registry()
    tasks.task("work")(function)
    system = memory_installation()
    job = RemoteJob(system).queue().submit("work")
    Simulation(installation=system, tasks=tasks).step()
    assert job.refresh().state is State.COMPLETED, job.errors
    return job


def warnings(job: Job) -> list[str]:
    return [line.message for line in job.logs() if line.level == "warning"]


@pytest.mark.parametrize(
    ("done", "total", "stored"),
    [
        (5, 3, (3, 3)),
        (-1e-17, 1, (0, 1)),
        (-5, 10, (0, 10)),
        (1.0000000000000002, 1, (1, 1)),
        (0, 0, (0, 1)),
        (3, 0, (1, 1)),
        (1, -4, (1, 1)),
        (math.inf, 7, (7, 7)),
        (-math.inf, 7, (0, 7)),
        (5, math.inf, (0, 1)),
        (10**400, 10, (10, 10)),
        (Decimal("Infinity"), 2, (2, 2)),
    ],
)
def test_odd_progress_is_clamped_and_noted_once(
    done: Any, total: Any, stored: tuple[float, float]
) -> None:
    def work(job: RunningJob) -> None:
        for _ in range(3):
            job.progress(done, total)

    job = ran(work)
    assert reported(job) == stored
    (warning,) = warnings(job)
    assert warning.startswith("progress(")
    assert len(warning) < 1000


@pytest.mark.parametrize(
    ("done", "total"), [(math.nan, 1), (1, math.nan), (Decimal("NaN"), 1), (Decimal("sNaN"), 1)]
)
def test_progress_that_is_no_number_is_ignored_and_noted_once(done: Any, total: Any) -> None:
    def work(job: RunningJob) -> None:
        job.progress(1, 2)
        job.progress(done, total)
        job.progress(done, total)

    job = ran(work)
    assert (reported(job), len(warnings(job))) == ((1, 2), 1)


@pytest.mark.parametrize(
    ("done", "total", "stored"),
    [
        (Float(0.5), Index(2), (0.5, 2)),
        (Decimal("1.5"), Fraction(4, 2), (1.5, 2)),
        (1, 3, (1, 3)),
    ],
)
def test_numbers_of_other_libraries_are_numbers(
    done: Any, total: Any, stored: tuple[float, float]
) -> None:
    job = ran(lambda job: job.progress(done, total))
    assert reported(job) == stored
    assert warnings(job) == []


@pytest.mark.parametrize(
    ("done", "total"),
    [("1", 2), (1, "2"), ([1], 2), (None, 1), (b"1", 1), (1j, 1), ({}, 1), (True, 1)],
)
def test_what_is_no_number_at_all_is_refused(done: Any, total: Any) -> None:
    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidData, match="use numbers"):
            job.progress(done, total)

    assert reported(ran(work)) == (0, 1)


def test_long_message_is_cut_in_the_jobs_log_and_in_the_workers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="remotejob.job")
    job = ran(lambda job: job.log("x" * 1_000_000))
    (line,) = job.logs()
    assert len(line.message) == 10_000
    assert max(len(record.getMessage()) for record in caplog.records) <= 10_000


@pytest.mark.parametrize(
    ("message", "stored"),
    [
        ("a\ud800b", "a?b"),
        ("a\0b", "a\0b"),
        (17, "17"),
        (Unspeakable(), "an object of class Unspeakable that cannot be shown"),
    ],
)
def test_odd_message_is_logged(message: Any, stored: str) -> None:
    (line,) = ran(lambda job: job.log(message)).logs()
    assert line.message == stored


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        ({"a": Float(0.5), "b": Index(3)}, {"a": 0.5, "b": 3}),
        ([Decimal("1.5"), Fraction(1, 2)], [1.5, 0.5]),
        ({"a": math.nan, "b": -math.inf}, {"a": "nan", "b": "-inf"}),
        ({"a\ud800": "b\udfff\0"}, {"a?": "b?\0"}),
        ((1, 2), [1, 2]),
        (0, 0),
        ("", ""),
    ],
)
def test_odd_log_data_is_stored_as_json_can(data: Any, stored: Any) -> None:
    job = ran(lambda job: job.log("x", data=data))
    (line,) = job.logs()
    assert line.data == stored


@pytest.mark.parametrize("data", [["é" * 100] * 100, "x" * 1_000_000, list(range(1_000_000))])
def test_large_log_data_is_cut_and_noted_once(data: Any) -> None:
    def work(job: RunningJob) -> None:
        job.log("first", data=data)
        job.log("second", data=data)

    job = ran(work)
    first, warning, second = job.logs()
    assert (first.message, second.message) == ("first", "second")
    assert len(json.dumps(first.data, ensure_ascii=False).encode()) <= 4096
    assert "log data of" in warning.message


def test_log_data_that_is_deep_or_contains_itself_is_cut() -> None:
    ring: list[Any] = []
    ring += [ring, ring]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]

    def work(job: RunningJob) -> None:
        job.log("ring", data=ring)
        job.log("deep", data=deep)

    messages = [line.message for line in ran(work).logs()]
    assert [message for message in messages if not message.startswith("log data")] == [
        "ring",
        "deep",
    ]


@pytest.mark.parametrize("data", [{1, 2}, object(), {1: "a"}, b"bytes"])
def test_log_data_that_json_has_nothing_like_is_refused(data: Any) -> None:
    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidData, match="log data"):
            job.log("x", data=data)

    assert ran(work).logs() == []


def test_too_many_log_lines_are_left_out_and_the_last_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "_MOST_LINES", 20)

    def work(job: RunningJob) -> None:
        for number in range(50):
            job.log(f"line {number}")

    lines = ran(work).logs()
    assert len(lines) == 21
    assert (lines[-1].level, lines[-1].message) == (
        "warning",
        "the log is full: no more lines are kept",
    )


def test_checkpoint_takes_numbers_of_other_libraries() -> None:
    def work(job: RunningJob) -> None:
        job.checkpoint({"page": Index(3), "share": Fraction(1, 2)})
        seen.append(job._run.record.checkpoint_json)

    seen: list[Any] = []
    ran(work)
    assert seen == ['{"page":3,"share":0.5}']


def test_checkpoint_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)

    def work(job: RunningJob) -> None:
        with pytest.raises(InvalidData, match="cannot be written as JSON"):
            job.checkpoint(ring)

    ran(work)


# Wherever the task runs


@pytest.fixture(scope="module")
def executors() -> Iterator[Executors]:
    made = Executors([registry[name] for name in odd_tasks.NAMES])
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.mark.parametrize("name", odd_tasks.NAMES)
def test_odd_reports_cost_nothing_wherever_the_task_runs(executors: Executors, name: str) -> None:
    system = memory_installation(queues={"default": (name,)})
    job = RemoteJob(system).queue().submit(name)
    Simulation(installation=system, tasks=registry, call=executors.run).step()

    assert job.refresh().state is State.COMPLETED, job.errors
    assert job.result == "refused what is no number"
    _check_odd(job)


def test_odd_reports_of_a_job_taken_by_hand_cost_nothing() -> None:
    system = memory_installation()
    queue = RemoteJob(system).queue()
    job = queue.submit("work")
    (taken,) = queue.get_work("work")
    odd_tasks.report(taken)
    taken.done()

    assert job.refresh().state is State.COMPLETED
    _check_odd(job)


def _check_odd(job: Job) -> None:
    messages = [line.message for line in job.logs()]
    assert [*job.progress] == [3, 3]
    assert sum(message.startswith("progress(") for message in messages) == 1
    assert sum(message.startswith("log data") for message in messages) == 1
    assert {len(message) for message in messages if message.startswith("x")} == {10_000}
    assert "a?b" in messages
