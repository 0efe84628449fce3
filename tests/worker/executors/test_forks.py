"""Tasks that fork: only the process that was given the run reports it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.end_to_end.waiting import PATIENCE

PLACES = ("thread", "process", "async", "async-process", "to-thread", "subtask")

ENDS = {
    "exits": 0,
    "exits_with": 7,
    "exits_with_text": 1,
    "raises": 1,
    "interrupted": 1,
    "returns": 0,
    "returns_first": 0,
    "returns_last": 0,
    "stays": 0,
    "pseudo_terminal": 0,
    "by_multiprocessing": 0,
    "terminated": -15,
    "pool": 0,
    "prints": 0,
}
"""What the copy does, and its exit status as its parent sees it."""


def outcomes(where: str, what: str) -> tuple[list[Any], subprocess.CompletedProcess[str]]:
    """State, result, errors and log of a job that forks, and of the next; each is said once."""
    # a program of its own: a copy that goes on as the worker is then no copy of the tests
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from tests.worker.executors.forking import main; main({where!r}, {what!r})",
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    said = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    return said, ended


CASES = [(where, what) for where in PLACES for what in ENDS]
# in a pool's thread, multiprocessing's own end of a forked process fails in plain Python, too
CASES.remove(("to-thread", "by_multiprocessing"))


@pytest.mark.parametrize(
    ("where", "what"),
    [
        # one place after the other, each with another end of the copy
        case if number % 27 == 0 else pytest.param(*case, marks=pytest.mark.exhaustive)
        for number, case in enumerate(CASES)
    ],
)
def test_a_forked_copy_ends_where_it_would_return_and_only_its_parent_reports(
    where: str, what: str
) -> None:
    said, ended = outcomes(where, what)
    result = ["parent", ENDS[what]]
    assert said == [
        ["completed", result, [], []],
        ["completed", "a number", [], []],
    ], ended.stderr
    assert ended.returncode == 0
    if what == "raises":
        assert ended.stderr.count("ValueError: raised in the copy") == 1
    if what == "exits_with_text":
        assert "said by the copy\n" in ended.stderr
    if what == "prints":
        for line in ("printed once", "printed by the copy"):
            assert ended.stdout.splitlines().count(line) == 1


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_forked_copy_cannot_use_the_job(where: str) -> None:
    said, ended = outcomes(where, "uses_the_job")
    assert said[0] == ["completed", ["parent", 0], [], ["of the parent"]], ended.stderr
    assert said[1:] == [["completed", "a number", [], []]]


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_function_called_before_exec_cannot_use_the_job(where: str) -> None:
    said, ended = outcomes(where, "before_exec")
    assert said[0] == ["completed", ["parent", 0], [], []], ended.stderr


def test_a_hook_that_forks_leaves_no_second_worker() -> None:
    said, ended = outcomes("thread", "in_a_hook")
    assert said == [
        ["completed", ["parent", 0], [], []],
        ["completed", "a number", [], []],
    ], ended.stderr


def test_a_forked_copy_that_awaits_ends_and_says_why() -> None:
    said, ended = outcomes("awaits", "x")
    assert said == [
        ["completed", ["parent", 1], [], []],
        ["completed", "a number", [], []],
    ], ended.stderr
    assert "a forked copy of a worker cannot await" in ended.stderr
