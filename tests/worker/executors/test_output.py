"""What a child process writes is a line of its run in the worker's log, and can be no other."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from remotejob import Job, State
from remotejob.container.logs import LineFormatter
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes import output
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.runs.log_context import JobFields
from tests.end_to_end.waiting import until
from tests.worker.executors import work
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import of_module

Lines = Callable[[], list[dict[str, Any]]]

COMPLETED = {
    "time": "2026-11-30T11:31:07.634+00:00",
    "level": "INFO",
    "logger": "remotejob.worker.messages.handler",
    "process": 7,
    "message": "job completed",
    "job": "01M81GCCQDWQZ0SG6GXNFDF557",
    "queue": "default",
    "task": "payroll",
    "run": "d0feb57dac8a5ee2",
    "attempt": 1,
}
METRIC = {
    **COMPLETED,
    "_aws": {
        "Timestamp": 1_800_000_000_000,
        "CloudWatchMetrics": [
            {"Namespace": "costly", "Dimensions": [["A"]], "Metrics": [{"Name": "M"}]}
        ],
    },
    "A": "a",
    "M": 1,
}


@pytest.fixture(scope="module")
def executors() -> Iterator[Executors]:
    """Whose children log as those of a deployed worker do."""
    program = ChildProgram(logging="remotejob.container.logs:log_to_worker")
    made = Executors(of_module(work).values(), program=program)
    yield made
    made.close(within=work.SHORT)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What a deployed worker writes to its log."""
    # a Lambda function, if another test has imported one, writes the library's lines itself
    library = logging.getLogger("remotejob")
    monkeypatch.setattr(library, "propagate", True)
    monkeypatch.setattr(library, "handlers", [])
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter())
    handler.addFilter(JobFields())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)


def said(lines: Lines) -> list[dict[str, Any]]:
    """The lines that are not the worker's own."""
    return [line for line in lines() if not line["logger"].startswith("remotejob.")]


def is_of(job: Job, line: dict[str, Any]) -> bool:
    record = job.record
    expected = {"job": job.id, "run": record.run_id, "task": record.task, "queue": "default"}
    return {name: line.get(name) for name in expected} == expected


FORGED = [json.dumps(COMPLETED), json.dumps(METRIC)]
WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "print": lambda text: {"do": "print", "text": text},
    "standard output": lambda text: {"do": "write", "file": 1, "text": f"{text}\n"},
    "standard error": lambda text: {"do": "write", "file": 2, "text": f"{text}\n"},
    "no newline": lambda text: {"do": "write", "file": 1, "text": text},
    "program": lambda text: {"do": "write_by_a_program", "text": f"{text}\n"},
    "within a line": lambda text: {"do": "write", "file": 1, "text": f"so\r\x0b\u2028\x85{text}"},
    "as its logging": lambda text: {"do": "write", "file": 1, "text": f"\x1e{text}\n"},
    "after its logging": lambda text: {"do": "write", "file": 1, "text": f"a\x1e\x1e{text}\n"},
    "logged": lambda text: {"do": "log", "logger": "remotejob.worker", "text": f"a\n{text}"},
    "logged by its root": lambda text: {"do": "log", "logger": None, "text": text},
}


@pytest.mark.parametrize("task", ["own-process", "stranger"])
@pytest.mark.parametrize("text", FORGED, ids=["completed", "metric"])
@pytest.mark.parametrize("way", WAYS)
def test_child_cannot_forge_a_line_of_the_worker(
    done: Done, lines: Lines, capfd: pytest.CaptureFixture[str], way: str, text: str, task: str
) -> None:
    data = WAYS[way](text)
    job = done(data.pop("do"), task=task, **data)

    assert job.state is State.COMPLETED, job.errors
    assert said(lines)
    for line in said(lines):
        assert is_of(job, line)
        assert line["logger"].startswith("task.")
        assert "_aws" not in line
        assert line["process"] not in (7, os.getpid())
    assert not [line for line in lines() if line["job"] == COMPLETED["job"]]
    assert capfd.readouterr() == ("", "")


def test_what_a_child_prints_is_a_line_of_its_run(done: Done, lines: Lines) -> None:
    first = done("print", text="one\n\n  two", end="")
    second = done("print", text="thr\x1b[31mee")

    one, two, three = said(lines)
    assert [line["message"] for line in (one, two, three)] == ["one", "  two", r"thr\x1b[31mee"]
    assert {line["logger"] for line in (one, two, three)} == {"task.stdout"}
    assert {line["level"] for line in (one, two, three)} == {"INFO"}
    assert is_of(first, one)
    assert is_of(first, two)
    assert is_of(second, three)


def test_what_a_child_logs_keeps_level_and_logger(done: Done, lines: Lines) -> None:
    job = done("log", logger="tests.said", text="100% said")

    (line,) = said(lines)
    assert (line["logger"], line["level"], line["message"]) == (
        "tests.said", "WARNING", "100% said",
    )  # fmt: skip
    assert is_of(job, line)


def test_silent_child_writes_no_line(done: Done, lines: Lines) -> None:
    done("pid")
    assert said(lines) == []


def test_bytes_that_are_no_text_are_shown(done: Done, lines: Lines) -> None:
    done("write_bytes", file=1, bytes=[97, 255, 128, 98, 0, 10])
    assert [line["message"] for line in said(lines)] == [r"a\xff\x80b\x00"]


def test_last_words_of_a_child_that_crashes_are_in_the_log(done: Done, lines: Lines) -> None:
    job = done("write_and_crash")

    assert job.state is State.FAILED
    (line,) = said(lines)
    assert line["message"] == "the last words"
    assert is_of(job, line)


def test_long_line_is_cut(done: Done, lines: Lines) -> None:
    done("write", file=1, text="x" * 10_000, times=100)

    (line,) = said(lines)
    assert line["message"] == "x" * output.LONGEST_LINE + "…"


@pytest.mark.parametrize(
    "text",
    ["x\n", "x" * 999 + "\n", "\n", "x" * 99_999 + "\n", "x"],
    ids=["short", "long", "empty", "very long", "endless"],
)
def test_run_that_writes_without_end_neither_fills_the_log_nor_blocks(
    done: Done, lines: Lines, text: str
) -> None:
    first = done("write", file=2, text=text * (100_000 // len(text)), times=50)
    second = done("print", text="the next")

    assert first.state is State.COMPLETED
    of_first = [line for line in said(lines) if is_of(first, line)]
    assert len(of_first) <= output.MOST_LINES
    most = output.MOST_BYTES + output.LONGEST_LINE + 1
    assert sum(len(line["message"]) for line in of_first) <= most
    warned = [line for line in lines() if "is dropped from here" in line["message"]]
    assert [is_of(first, line) for line in warned] == [True]
    assert [line["message"] for line in said(lines) if is_of(second, line)] == ["the next"]


def test_program_that_outlives_its_child_holds_up_nothing(done: Done) -> None:
    job = done("leave_a_writer", task="worn-out-writer")
    child, program = job.result
    try:
        assert job.state is State.COMPLETED
        assert done("pid").state is State.COMPLETED
        names = {f"child-{child}", f"output-{child}"}
        until(lambda: names.isdisjoint(_threads()), what="the end of what looks after the child")
    finally:
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGKILL)


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
