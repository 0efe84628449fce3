"""What the `run` command shows: the task's words as they come, and what came of its run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from remotejob.cli import formats
from remotejob.cli.common import err, note, out, say
from remotejob.cli.tracebacks import short
from remotejob.cli.visible import json_text, one_line
from remotejob.client.one_run import Observer, Ran
from remotejob.domain.errors import Fatal, RunInterrupted
from remotejob.domain.job_log import Level
from remotejob.domain.states import State
from remotejob.tasks.runs_in import Credentials, Process
from remotejob.tasks.task import Task

_STEPS: Final = 10
"""Progress is shown at each tenth."""


class Live(Observer):
    """Shows log lines, progress and errors while the task runs."""

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._step = 0

    def line(self, level: Level, message: str, data: Any) -> None:
        if self._show:
            say(f"{level}: {message}" + ("" if data is None else f" {json_text(data)}"))

    def progress(self, done: float, total: float) -> None:
        step = int(done / total * _STEPS) if total else 0
        if self._show and step != self._step:
            self._step = step
            say(f"progress: {done:g} of {total:g}")

    def raised(self, error: BaseException) -> None:
        # a stopped run raised nothing of its own; the verdict says why it ended
        if self._show and not isinstance(error, RunInterrupted):
            say(short(error), err)


@contextmanager
def logging_shown() -> Iterator[None]:
    """Show what the task's own loggers say, but not what the worker's do: `show` says the same."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    quiet = {"remotejob.worker": logging.CRITICAL + 1, "botocore": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in quiet}
    try:
        for name, level in quiet.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def remark_on(task: Task) -> None:
    """Say what a worker does with this task, and this process does not."""
    lacks = []
    if isinstance(task.runs_in, Process):
        lacks.append("a process of its own")
        if task.runs_in.memory_mib is not None:
            lacks.append(f"its limit of {task.runs_in.memory_mib} MiB")
        if task.runs_in.credentials is Credentials.NONE:
            lacks.append("its lack of credentials")
    if lacks:
        note(f"task {task.name} runs in this process, without {', '.join(lacks)}")


def show(ran: Ran, task: Task, saved: Sequence[Path], *, as_json: bool) -> None:
    """Print where the outputs are, the result, and what a worker would do after such a run."""
    if as_json:
        formats.to_json(out, _as_dict(ran, saved))
        return
    for output, path in zip(ran.outputs.values(), saved, strict=True):
        say(one_line(f"output {output.name}, {output.size:,} bytes: {path}"))
    if ran.job.state is State.COMPLETED:
        say(f"result: {json_text(ran.result)}")
    note(_verdict(ran) + _beyond(task.timeout, ran.took))


def _verdict(ran: Ran) -> str:
    job = ran.job
    after = f"after {_seconds(ran.took.total_seconds())}"
    match job.state:
        case State.COMPLETED:
            return f"{job.task} completed {after}"
        case State.CANCELLED:
            return f"{job.task} was cancelled {after}"
        case State.FAILED if isinstance(ran.error, Fatal):
            return f"{job.task} failed for good {after}: the error is fatal"
        case State.FAILED:
            return f"{job.task} failed for good {after}: attempt {job.attempt} was the last"
        case State.WAITING:
            again = _seconds(_retry_in(ran) or 0)
            return f"{job.task} failed {after}; a worker would run it again in {again}"
        case _:
            return f"{job.task} ended {after}; a worker would give it back, to be run again at once"


def _retry_in(ran: Ran) -> float | None:
    """Seconds from the end of the run to the beginning of the next; None if there is none."""
    record = ran.job.record
    return None if record.due_ms is None else (record.due_ms - record.updated_ms) / 1000


def _beyond(limit: timedelta | None, took: timedelta) -> str:
    if limit is None or took <= limit:
        return ""
    return f"; a worker would have stopped it after {_seconds(limit.total_seconds())}, its timeout"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _as_dict(ran: Ran, saved: Sequence[Path]) -> dict[str, Any]:
    done, total = ran.progress
    return {
        "task": ran.job.task,
        "state": ran.job.state,
        "result": ran.result,
        "error": None if ran.error is None else repr(ran.error),
        "traceback": None if ran.error is None else "".join(traceback.format_exception(ran.error)),
        "retry_in_s": _retry_in(ran),
        "seconds": ran.took.total_seconds(),
        "progress": {"done": done, "total": total},
        "outputs": [
            {"name": output.name, "size": output.size, "path": str(path)}
            for output, path in zip(ran.outputs.values(), saved, strict=True)
        ],
        "log": [
            {"level": line.level, "message": line.message, "data": line.data} for line in ran.logs
        ],
    }
