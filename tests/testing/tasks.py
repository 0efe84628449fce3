"""Registers tasks for the tests here; each test that calls it has them for itself."""

from __future__ import annotations

from datetime import timedelta

from remotejob import Retry, RunningJob, task


def register() -> None:
    """Register the tasks of the settings."""
    task("copy")(copy)
    task("count", retry=Retry(max_attempts=3, wait=timedelta(minutes=5)))(count)
    task("fail", retry=Retry(max_attempts=2, wait=timedelta(minutes=5)))(fail)
    task("after")(after)


def copy(job: RunningJob) -> str:
    job.output(job.data["to"], job.download())
    return job.input.key if job.input else ""


def count(job: RunningJob) -> int:
    start: int = job.resumed_from or 0
    for number in range(start, 5):
        job.checkpoint(number + 1)
        job.progress(number + 1, 5)
        job.output("last.txt", str(number).encode())
        job.log(f"at {number}")
    return start


def fail(job: RunningJob) -> None:
    raise ValueError("no luck")


def after(job: RunningJob) -> str:
    return "after"
