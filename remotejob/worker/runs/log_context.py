"""Whose run this is: known to each line of the log that is written while it goes on.

Whoever calls a task's function does it inside `job_context`, in the thread, the coroutine or the
process where the function runs. Coroutines and tasks of asyncio begun inside have it too, those
begun by `asyncio.run_coroutine_threadsafe` among them; threads that the task starts by itself have
it where they are started with `contextvars.copy_context().run`. A child process is told what
`JobContext.packed` gives, and enters `job_context(JobContext.unpacked(told))`.
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
    """What the worker itself puts around a run, from before the call to after its commit.

    `trace` is where the job was submitted: where there are traces, the run is a span under it.
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
    """Let all that is logged inside be of this run, and what is traced be under `trace`."""
    token = _current.set(context)
    try:
        with tracing.under(trace):
            yield
    finally:
        _current.reset(token)


def current() -> JobContext | None:
    """The run that goes on in this thread or coroutine, or None."""
    return _current.get()


class JobFields(logging.Filter):
    """Gives a handler's records the fields of the run that goes on.

    A line that names a job by itself is left as it is: it may be about another one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        context = _current.get()
        said = record.__dict__
        if context is not None and "job" not in said:
            for name, value in context.fields.items():
                said.setdefault(name, value)
        return True
