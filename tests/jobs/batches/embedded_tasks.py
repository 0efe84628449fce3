"""Tasks of a batch in the embedded AWS, run by real workers."""

from __future__ import annotations

from typing import Any

from remotejob import RunningJob, task


@task("work")
def work(job: RunningJob) -> Any:
    """Fail if the row says so."""
    if job.data["fails"] == "yes":
        raise ValueError("the row says so")
    return job.data["number"]


@task("summary")
def summary(job: RunningJob) -> Any:
    """Return what the task learned about the batch."""
    return job.data["batch"]
