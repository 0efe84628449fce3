"""Watches a run: calls back at each step of its task, so that a test can interfere there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from remotejob.domain.job_log import Level
from remotejob.domain.record import JobRecord, OutputFile
from remotejob.ports import Installation
from remotejob.tasks.running_job import RunHandle
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here


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

Reached = Callable[[Moment, Any], None]
"""Called with the moment and what the task gave: JSON, an output, a line, or None."""


def call_observed(run: RunHandle, reached: Reached) -> Any:
    """Run a task in this thread, and report its steps."""
    reached(Moment.START, None)
    try:
        result = call_here(_ObservedRun(run, reached))
    except Exception:
        reached(Moment.END, None)
        raise
    reached(Moment.END, None)
    return result


def from_task(error: BaseException) -> BaseException:
    """The error, with a traceback that begins in the task's own code."""
    trace = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_LIBRARY):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


class _ObservedRun:
    def __init__(self, run: RunHandle, reached: Reached) -> None:
        self._run, self._reached = run, reached

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def record(self) -> JobRecord:
        return self._run.record

    @property
    def task(self) -> Task:
        return self._run.task

    @property
    def prefix(self) -> str:
        return self._run.prefix

    @property
    def began(self) -> float:
        return self._run.began

    @property
    def installation(self) -> Installation:
        return self._run.installation

    @property
    def lease_length(self) -> timedelta:
        return self._run.lease_length

    @property
    def log_fields(self) -> Mapping[str, Any]:
        return self._run.log_fields

    def check(self) -> None:
        self._run.check()

    def folder(self) -> Path:
        return self._run.folder()

    def report_progress(self, progress: str) -> None:
        self._run.report_progress(progress)
        self._reached(Moment.PROGRESS, progress)

    def report_line(self, level: Level, message: str, data: Any) -> None:
        self._run.report_line(level, message, data)
        self._reached(Moment.LOG, message)

    def add_output(self, output: OutputFile) -> None:
        self._run.add_output(output)
        self._reached(Moment.OUTPUT, output)

    def keep(self, checkpoint: str) -> None:
        self._run.keep(checkpoint)
        self._reached(Moment.CHECKPOINT, checkpoint)
