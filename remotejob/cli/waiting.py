"""Waiting at a terminal: what goes on is seen, and Ctrl-C ends the waiting alone."""

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
from remotejob.client.batch import Batch
from remotejob.client.job import Job
from remotejob.domain.errors import WaitTimeout
from remotejob.domain.states import State

_PATIENCE_S: Final = 5.0
"""After so long without a start it is said why."""


def wait_for_job(job: Job, timeout: float | None) -> Job:
    """Wait for its end, for `timeout` seconds or for ever. Raises: see `Job.wait`."""
    with _watched(lambda: _job_line(job), f"job {job.id} goes on; remotejob wait {job.id}"):
        if timeout is not None and timeout <= _PATIENCE_S:
            return job.wait(timeout)
        try:
            return job.wait(_PATIENCE_S)
        except WaitTimeout:
            _say_why(job)
        try:
            return job.wait(None if timeout is None else timeout - _PATIENCE_S)
        except WaitTimeout:
            raise WaitTimeout(f"job {job.id} is still {job.state} after {timeout:g} s") from None


def wait_for_batch(batch: Batch, timeout: float | None) -> Batch:
    """Wait for the end of all its jobs. Raises: see `Batch.wait`."""
    goes_on = f"batch {batch.id} goes on; remotejob batch {batch.id} --wait"
    with _watched(lambda: _batch_line(batch), goes_on):
        return batch.wait(timeout)


def _say_why(job: Job) -> None:
    if job.state is State.RUNNING:
        return
    reason = job.why()
    if not job.ended:
        note(reason.text)


@contextmanager
def _watched(line: Callable[[], Text], goes_on: str) -> Iterator[None]:
    try:
        with _progress(line):
            yield
    except KeyboardInterrupt:
        note(goes_on)
        raise


@contextmanager
def _progress(line: Callable[[], Text]) -> Iterator[None]:
    """A line that is drawn anew from what the waiting has read: it makes no request of its own."""
    if not on_terminal(err):
        yield
        return
    began = time.monotonic()
    spinner = Spinner("dots")

    def drawn() -> Spinner:
        spinner.update(text=line().append(f"  {time.monotonic() - began:.0f} s", style="dim"))
        return spinner

    with Live(console=err, get_renderable=drawn, refresh_per_second=8, transient=True):
        yield


def _job_line(job: Job) -> Text:
    return Text.assemble(f"job {job.id}  ", formats.state_text(job), "  ", formats.bar(job))


def _batch_line(batch: Batch) -> Text:
    done, total = batch.progress
    return Text(f"batch {batch.id}  {batch.state}  {done:g} of {total:g} have ended")
