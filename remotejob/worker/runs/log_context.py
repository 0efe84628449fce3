"""Puts the job of the current run into every log line written while it goes on.

A task's function is called inside `job_context`, in the thread, coroutine or process where it runs.
Coroutines and asyncio tasks that it starts inherit the context, also through
`asyncio.run_coroutine_threadsafe`. A thread of its own does if it is started with
`contextvars.copy_context().run`. A child process receives `JobContext.packed()` and enters
`job_context(*JobContext.unpacked(packed))`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from remotejob import tracing
from remotejob.jobs.messaging.log_fields import JobContext

__all__ = ["JobContext", "JobFields", "current", "job_context", "running"]


_current: Final[ContextVar[JobContext | None]] = ContextVar("remotejob_job", default=None)


@contextmanager
def running(context: JobContext, trace: tracing.Trace | None) -> Iterator[None]:
    """The worker's context around a run, from before the call to after the commit.

    `trace` is where the job was submitted. With tracing on, the run is a span under it.
    """
    token = _current.set(context)
    try:
        with tracing.running(
            job=context.job,
            queue=context.queue,
            task=context.task,
            run=context.run,
            attempt=context.attempt,
            tenant=context.tenant,
            trace=trace,
        ):
            yield
    finally:
        _current.reset(token)


@contextmanager
def job_context(context: JobContext, trace: tracing.Trace | None = None) -> Iterator[None]:
    """Attribute log lines inside to this run, and put spans under `trace`."""
    token = _current.set(context)
    try:
        with tracing.under(trace):
            yield
    finally:
        _current.reset(token)


def current() -> JobContext | None:
    """The run of this thread or coroutine, or None."""
    return _current.get()


class JobFields(logging.Filter):
    """Adds the fields of the current run to a handler's log records.

    A line that already names a job stays as it is: it may be about another job.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        context = _current.get()
        said = record.__dict__
        if context is not None and "job" not in said:
            for name, value in context.fields.items():
                said.setdefault(name, value)
        return True
