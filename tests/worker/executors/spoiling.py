"""Tasks that spoil the context they run in, wherever they run, and say what the next one finds."""

from __future__ import annotations

import asyncio
import decimal
from contextvars import ContextVar
from typing import Any, Final

from remotejob import AsyncRunningJob, Process, RunningJob, task
from remotejob.domain.chain import next_depth
from remotejob.worker.runs.log_context import current

VARIABLE: Final[ContextVar[str]] = ContextVar("of_a_task", default="as it was")


def found() -> dict[str, Any]:
    """What a job finds in its context; then it spoils it for the next."""
    job = current()
    seen = {
        "prec": decimal.getcontext().prec,
        "third": str(decimal.Decimal(1) / 3),
        "variable": VARIABLE.get(),
        "job": None if job is None else job.job,
        "depth": next_depth(),
    }
    decimal.getcontext().prec = 3
    VARIABLE.set("spoilt")
    return seen


@task("spoils-thread")
def in_thread(job: RunningJob) -> Any:
    return found()


@task("spoils-process", runs_in=Process())
def in_process(job: RunningJob) -> Any:
    return found()


@task("spoils-loop")
async def on_loop(job: AsyncRunningJob) -> Any:
    return found()


@task("spoils-part")
async def in_a_part(job: AsyncRunningJob) -> Any:
    """In a thread of an async task's own."""
    seen = await asyncio.to_thread(found)
    assert (decimal.getcontext().prec, VARIABLE.get()) == (3, "as it was")
    return seen


@task("spoils-process-loop", runs_in=Process())
async def on_a_loop_in_a_process(job: AsyncRunningJob) -> Any:
    return found()
