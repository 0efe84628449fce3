"""Tasks that report odd values, wherever they run."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from remotejob import InvalidData, Process, RunningJob, task
from remotejob.tasks.async_running_job import AsyncRunningJob

NAMES = ("odd-thread", "odd-process", "odd-loop")


def report(job: Any) -> str:
    job.progress(math.nan, 3)
    job.progress(-1, 3)
    job.progress(Decimal(5), 3)
    job.log("x" * 1_000_000)
    job.log("a\ud800b", data={"n": Decimal("0.5"), "nan": math.nan})
    job.log("much", data="y" * 100_000)
    try:
        job.progress([1], 3)
    except InvalidData:
        return "refused what is no number"
    return "took a list for a number"


@task("odd-thread")
def in_thread(job: RunningJob) -> str:
    return report(job)


@task("odd-process", runs_in=Process())
def in_process(job: RunningJob) -> str:
    return report(job)


@task("odd-loop")
async def on_loop(job: AsyncRunningJob) -> str:
    return report(job)
