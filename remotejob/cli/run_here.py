"""Runs a task in this process: what the `run` command does."""

from __future__ import annotations

import os
import pdb  # noqa: T100 (for --pdb)
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryFiles, MemoryMessages, MemoryStore
from remotejob.cli import run_shown
from remotejob.cli.common import note
from remotejob.cli.find_task import FoundTask
from remotejob.cli.saving import folder_of, save_outputs
from remotejob.client.job import Job
from remotejob.client.one_run import OneRun, Ran
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.errors import RunInterrupted
from remotejob.jobs.content.download_path import IfExists
from remotejob.ports import Installation, QueueDescription


class Shown(run_shown.Live):
    """Shows a run as it goes on, and starts the debugger where it raises an error."""

    def __init__(self, *, show: bool, debug: bool) -> None:
        super().__init__(show=show)
        self._debug = debug

    def raised(self, error: BaseException) -> None:
        super().raised(error)
        if self._debug and not isinstance(error, RunInterrupted | KeyboardInterrupt):
            with _signal(signal.default_int_handler):
                pdb.post_mortem(error.__traceback__)


def submitted(found: FoundTask, file: str | None, *, data: Any, filename: str | None) -> Job:
    """A job for the task in a system in memory. Raises: InvalidInput, as `submit` does."""
    queue = RemoteJob(_in_memory(found)).queue(found.queue)
    body = sys.stdin.buffer if file == "-" else file
    return queue.submit(found.task.name, body=body, data=data, filename=filename)


def _in_memory(found: FoundTask) -> Installation:
    clock = SystemClock()
    described = QueueDescription(name=found.queue, tasks=(found.task.name,))
    return Installation(
        name="memory",
        store=MemoryStore(),
        messages=MemoryMessages(clock),
        files=MemoryFiles(),
        clock=clock,
        entropy=os.urandom,
        queues={found.queue: described},
    )


def save(job: Job, ran: Ran, folder: Path, existing: IfExists) -> list[Path]:
    under = folder_of(job)
    return save_outputs([(under, output) for output in ran.outputs.values()], folder, existing)


@contextmanager
def cancelled_by_ctrl_c(one: OneRun) -> Iterator[threading.Event]:
    """The first Ctrl-C cancels the job, as `remotejob cancel` would; the second ends all at once.

    The event is set once there was one.
    """
    interrupted = threading.Event()

    def cancel() -> None:
        note("cancelling: the task stops at its next call of the job; Ctrl-C again ends it at once")
        one.cancel()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        # this thread may hold any lock of the run
        threading.Thread(target=cancel, name="cancel", daemon=True).start()

    with _signal(interrupt):
        yield interrupted


@contextmanager
def _signal(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let Ctrl-C call a handler while the block runs."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
