"""Watches a run: calls back at each step of its task, so that a test can interfere there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from remotejob.client.one_run import Observer, observed
from remotejob.domain.job_log import Level
from remotejob.domain.record import OutputFile
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.runs.run import Run


class Moment(StrEnum):
    """A step of a run, reached once what it names is done."""

    START = "start"
    """The job is claimed, and its function is about to be called."""
    PROGRESS = "progress"
    CHECKPOINT = "checkpoint"
    """The checkpoint is durable."""
    OUTPUT = "output"
    """The file is stored."""
    LOG = "log"
    END = "end"
    """The function has returned or raised, and nothing about its end is stored."""


FAILS_JOBS: Final = (Exception, SystemExit, GeneratorExit, asyncio.CancelledError)
"""What a task may raise. Anything else, such as KeyboardInterrupt or a test's skip, ends the test.
"""

_LIBRARY: Final = Path(__file__).parents[1]

Reached = Callable[[Moment], None]


def call_observed(run: Run, reached: Reached) -> Any:
    """Run a task in this thread, and report its steps."""
    reached(Moment.START)
    try:
        result = call_here(observed(run, _Moments(reached)))
    except Exception:
        reached(Moment.END)
        raise
    reached(Moment.END)
    return result


def from_task(error: BaseException) -> BaseException:
    """The error, with a traceback that begins in the task's own code."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_LIBRARY):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


class _Moments(Observer):
    def __init__(self, reached: Reached) -> None:
        self._reached = reached

    def line(self, level: Level, message: str, data: Any) -> None:  # noqa: ARG002 (the observer's)
        self._reached(Moment.LOG)

    def progress(self, done: float, total: float) -> None:  # noqa: ARG002
        self._reached(Moment.PROGRESS)

    def checkpoint(self, state: Any) -> None:  # noqa: ARG002
        self._reached(Moment.CHECKPOINT)

    def output(self, file: OutputFile) -> None:  # noqa: ARG002
        self._reached(Moment.OUTPUT)
