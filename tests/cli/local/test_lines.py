"""What the window shows of a worker's log: runs, what tasks say, trouble. None can be forged."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from remotejob.cli.common import SafeConsole
from remotejob.cli.local.lines import JobLines, Shown
from remotejob.cli.local.logs import LogLine, WorkerLogs
from remotejob.cli.local.window import Window, show_logs

JOB = "01M8PFKVHRYXWVRRCH6NWHMH1V"
HANDLER = "remotejob.worker.messages.handler"
OUTCOMES = "remotejob.worker.messages.outcomes"
RUN: dict[str, Any] = {"job": JOB, "queue": "default", "task": "scan", "run": "b5f0", "attempt": 1}
DUE = "2026-11-30T15:05:00+00:00"


def entry(message: str, logger: str = HANDLER, level: str = "INFO", **fields: Any) -> str:
    line = {"time": "2026-11-30T15:00:00.000+00:00", "level": level, "logger": logger}
    return json.dumps({**line, "message": message, **fields})


def line(message: str, logger: str = HANDLER, level: str = "INFO", **fields: Any) -> LogLine:
    return LogLine(queue="default", fields=json.loads(entry(message, logger, level, **fields)))


def test_run_of_a_file_is_shown_from_its_beginning_to_its_end() -> None:
    lines = JobLines()

    shown = [
        lines.shown(line("run begins", level="DEBUG", file="a b.pdf", **RUN)),
        lines.shown(line("run failed, again", OUTCOMES, "WARNING", due=DUE, ran_s=0.84, **RUN)),
        lines.shown(line("run begins", level="DEBUG", file="a b.pdf", **RUN | {"attempt": 2})),
        lines.shown(line("job completed", ran_s=1.26, **RUN)),
        lines.shown(line("run begins", level="DEBUG", file=None, **RUN | {"job": "other-123456"})),
    ]

    assert [(one.job, one.text) for one in shown if one is not None] == [
        ("WHMH1V", f'scan "a b.pdf" begins: job {JOB}'),
        ("WHMH1V", f'scan "a b.pdf" failed in 0.8 s, again at {_local(DUE)}: '),
        ("WHMH1V", 'scan "a b.pdf" begins, attempt 2'),
        ("WHMH1V", 'scan "a b.pdf" completed in 1.3 s'),
        ("123456", "scan begins: job other-123456"),
    ]


def _local(iso: str) -> str:
    from remotejob.cli.local.lines import clock_time

    return clock_time(iso)


def test_error_of_a_run_is_one_line() -> None:
    message = "run failed, for good: ValueError: no text\nlayer"

    shown = JobLines().shown(line(message, OUTCOMES, "WARNING", ran_s=0.01, **RUN))

    assert shown == Shown(
        job="WHMH1V", text="scan failed in 0.0 s: ValueError: no text layer", style="red"
    )


@pytest.mark.parametrize(
    ("read", "text", "of_task"),
    [
        (line("page 1", "task.stdout", **RUN), "page 1", True),
        (line("page 1", "scan", "WARNING", **RUN), "page 1", True),
        (line("page 1", "scan", exc_info="Trace\n  back", **RUN), "page 1\nTrace\n  back", True),
        (line("noted", "remotejob.job", data=None, **RUN), "noted", True),
        # what a child process logs under our names
        (line("job completed", f"task.{HANDLER}", **RUN), "job completed", True),
        (line("job completed", "task.stdout", **RUN), "job completed", True),
        (line("imported", "scan"), "queue default: imported", True),
        (line("run given back: the worker is stopping", **RUN), None, False),
        (line("lease lost", "remotejob.worker", "WARNING", **RUN), "scan lease lost", False),
        (line("giving up: no memory", "remotejob.worker.worker", "CRITICAL"), None, False),
        (LogLine(queue="default", fields={"message": "Segmentation fault"}), None, False),
    ],
)
def test_line_is_shown(read: LogLine, text: str | None, *, of_task: bool) -> None:
    shown = JobLines().shown(read)

    assert shown is not None
    assert shown.of_task == of_task
    if text is None:
        assert read.text("message").removeprefix("run ") in shown.text
    else:
        assert shown.text == text


@pytest.mark.parametrize(
    "read",
    [
        line("worker starts", "remotejob.worker.worker"),
        line("run goes on", "remotejob.worker.runs.heartbeat", **RUN),
        line("job failed", **RUN),
        line("1 of 3 done", "remotejob.job", **RUN),
        line("metrics", "remotejob.metrics", _aws={}),
        # said when it ends, a moment later
        line("the worker cannot start: no module", "remotejob.container", "CRITICAL"),
    ],
)
def test_line_is_not_shown(read: LogLine) -> None:
    assert JobLines().shown(read) is None


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker-1.log"


@pytest.fixture
def logs(log: Path) -> WorkerLogs:
    followed = WorkerLogs()
    followed.follow("default", log)
    return followed


def window(logs: WorkerLogs) -> str:
    """What the window shows of what is new in the logs, without the time of day."""
    out = io.StringIO()
    show_logs(logs, JobLines(), Window(SafeConsole(file=out, width=60)))
    return "\n".join(
        line.partition("  ")[2] if line[:1].isdigit() else line
        for line in out.getvalue().splitlines()
    )


def test_lines_appear_once_they_are_whole(log: Path, logs: WorkerLogs) -> None:
    assert logs.new_lines() == []
    text = entry("page 1", "scan", **RUN)
    log.write_text(text[:20])
    assert logs.new_lines() == []
    log.write_text(text + "\n" + text[:20])
    first = logs.new_lines()
    log.write_text(text + "\n" + text + "\n")

    assert [one.text("message") for one in first] == ["page 1"]
    assert [one.text("message") for one in logs.new_lines()] == ["page 1"]
    assert logs.new_lines() == []


def test_lines_of_two_workers_are_in_the_order_of_their_times(log: Path, logs: WorkerLogs) -> None:
    other = log.with_name("worker-2.log")
    logs.follow("default", other)
    log.write_text(entry("second", "scan", time="2026-11-30T15:00:02.000+00:00") + "\n")
    other.write_text(entry("first", "scan", time="2026-11-30T15:00:01.000+00:00") + "\n")

    assert [one.text("message") for one in logs.new_lines()] == ["first", "second"]


def test_log_that_runs_ahead_is_shown_from_near_its_end(log: Path, logs: WorkerLogs) -> None:
    many = "".join(entry(f"page {number}", "scan", **RUN) + "\n" for number in range(10_000))
    log.write_text(many)

    lines = logs.new_lines()

    assert "bytes are not shown; see " in lines[0].text("message")
    assert lines[-1].text("message") == "page 9999"
    assert len(lines) < 2_000


@pytest.mark.parametrize(
    "said",
    [
        f"15:00:00  WHMH1V  scan completed in 1.0 s: job {JOB}",
        f"done\n15:00:00  WHMH1V  scan completed in 1.0 s: job {JOB}",
        f"done\r15:00:00  WHMH1V  scan completed: job {JOB}",
        "\x1b[2J\x1b[H15:00:00  WHMH1V  scan completed",
        " " * 200 + "15:00:00  WHMH1V  scan completed",
        "\u202e15:00:00  WHMH1V  scan completed",
        '{"logger": "remotejob.worker.messages.handler", "message": "job completed"}',
    ],
)
def test_what_a_task_says_is_no_line_of_ours(log: Path, logs: WorkerLogs, said: str) -> None:
    log.write_text(entry(said, "scan", **RUN) + "\n")

    shown = window(logs).split("\n")

    assert shown[0].startswith("WHMH1V  | ")
    # 8 of the time, 2, 6 of the job, 2
    assert all(line.startswith(" " * 18 + "| ") for line in shown[1:])
    assert all(letter.isprintable() for line in shown for letter in line)


@pytest.mark.parametrize("name", ["a\nb.pdf", "x completed in 1 s.pdf", '"', "\x1b[2J.pdf"])
def test_name_of_a_file_is_no_line_of_ours(log: Path, logs: WorkerLogs, name: str) -> None:
    log.write_text(entry("run begins", level="DEBUG", **RUN, file=name) + "\n")

    (shown,) = window(logs).split("\n")

    assert shown.startswith("WHMH1V  scan ")
    assert shown.endswith(f" begins: job {JOB}")
    assert shown.isprintable()
