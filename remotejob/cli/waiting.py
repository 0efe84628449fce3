"""Waiting at a terminal: shows progress, and Ctrl-C ends only the wait, not the job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from remotejob.cli import formats
from remotejob.cli.common import err, note, on_terminal
from remotejob.cli.program import called_as
from remotejob.client.batch import Batch
from remotejob.client.job import Job
from remotejob.domain.errors import WaitTimeout
from remotejob.domain.states import State

_EXPLAIN_AFTER_S: Final = 5.0
"""If the job has not started after this long, print why."""


def wait_for_job(job: Job, timeout: float | None) -> Job:
    """Wait until it has ended, up to `timeout` seconds or for ever. Raises: as `Job.wait`."""
    note_on_interrupt = f"job {job.id} continues; to wait again: {called_as()} wait {job.id}"
    with _watched(lambda: _job_line(job), note_on_interrupt):
        if timeout is not None and timeout <= _EXPLAIN_AFTER_S:
            return job.wait(timeout)
        try:
            return job.wait(_EXPLAIN_AFTER_S)
        except WaitTimeout:
            _print_why(job)
        try:
            return job.wait(None if timeout is None else timeout - _EXPLAIN_AFTER_S)
        except WaitTimeout:
            raise WaitTimeout(f"job {job.id} is still {job.state} after {timeout:g} s") from None


def wait_for_batch(batch: Batch, timeout: float | None) -> Batch:
    """Wait until all its jobs have ended. Raises: as `Batch.wait`."""
    note_on_interrupt = (
        f"batch {batch.id} continues; to wait again: {called_as()} batch {batch.id} --wait"
    )
    with _watched(lambda: _batch_line(batch), note_on_interrupt):
        return batch.wait(timeout)


def _print_why(job: Job) -> None:
    if job.state is State.RUNNING:
        return
    reason = job.why()
    if not job.ended:
        note(reason.text)


@contextmanager
def _watched(line: Callable[[], Text], note_on_interrupt: str) -> Iterator[None]:
    try:
        with _progress(line):
            yield
    except KeyboardInterrupt:
        note(note_on_interrupt)
        raise


@contextmanager
def _progress(line: Callable[[], Text]) -> Iterator[None]:
    """Redraw a status line from what the wait has read; makes no requests itself."""
    if not on_terminal(err):
        yield
        return
    began = time.monotonic()
    spinner = Spinner("dots" if err.encoding.startswith("utf") else "line")

    def render() -> Spinner:
        spinner.update(text=line().append(f"  {time.monotonic() - began:.0f} s", style="dim"))
        return spinner

    with Live(console=err, get_renderable=render, refresh_per_second=8, transient=True):
        yield


def _job_line(job: Job) -> Text:
    return Text.assemble(f"job {job.id}  ", formats.state_text(job), "  ", formats.bar(job))


def _batch_line(batch: Batch) -> Text:
    done, total = batch.progress
    return Text(f"batch {batch.id}  {batch.state}  {done:g} of {total:g} have ended")
