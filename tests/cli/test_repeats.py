"""Repeating jobs on the command line: submitted, replaced, cancelled."""

from __future__ import annotations

import json

import pytest

from remotejob import InvalidInput, Queue, Repeat, State
from tests.cli.conftest import Run

NIGHTLY = ("--repeat", "every day at 09:30")


def submitted(run: Run, *options: str) -> str:
    return run("submit", "work", *NIGHTLY, *options).stdout.strip()


def test_repeats_are_replaced_by_a_submit(run: Run, queue: Queue) -> None:
    first, second = submitted(run), submitted(run, "--cancel-repeats")
    states = {job.id: job.state for job in queue.jobs()}
    assert states == {first: State.CANCELLED, second: State.WAITING}


def test_repeats_are_cancelled_by_a_command(run: Run, queue: Queue) -> None:
    job_id = submitted(run)
    limited = submitted(run, "--repeats", "3")

    told = json.loads(run("cancel-repeats", "work", "--json").stdout)

    assert [(job["id"], job["state"]) for job in told] == [(job_id, "cancelled")]
    assert {job.id: job.state for job in queue.jobs()}[limited] is State.WAITING
    assert json.loads(run("cancel-repeats", "work", "--json").stdout) == []


def test_repeat_stops_on_failure_if_asked(run: Run, queue: Queue) -> None:
    submitted(run, "--stop-on-failure")
    (job,) = queue.jobs()
    assert job.repeat == Repeat(schedule="every day at 09:30", on_failure="stop")
    assert "stops on failure" in run("show", job.id).stdout


def test_a_job_may_be_submitted_paused(run: Run, queue: Queue) -> None:
    job_id = run("submit", "work", "--paused").stdout.strip()
    assert [(job.id, job.state) for job in queue.jobs()] == [(job_id, State.PAUSED)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "work", "--stop-on-failure"),
        ("submit", "work", "--cancel-repeats"),
        ("submit", "work", *NIGHTLY, "--repeats", "3", "--cancel-repeats"),
        ("cancel-repeats", "no such task!"),
    ],
)
def test_what_needs_a_repeat_is_refused_without_one(
    arguments: tuple[str, ...], run: Run, queue: Queue
) -> None:
    with pytest.raises(InvalidInput):
        run(*arguments)
    assert queue.jobs() == []
