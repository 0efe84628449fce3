"""Tasks of the end-to-end tests, run by real workers."""

from __future__ import annotations

import time
from pathlib import Path

import boto3

from remotejob import Retry, RunningJob, task
from worker_container.tasks import thumbnail

__all__ = ["forbidden", "hold", "thumbnail"]


@task("hold", retry=Retry(max_attempts=2))
def hold(job: RunningJob) -> str:
    """Say that the run has begun, then wait until the test lets it go."""
    folder = Path(job.data["folder"])
    job.output("seen.txt", job.run_id.encode())
    (folder / f"begun-{job.run_id}").touch()
    while not (folder / "go").exists():
        job.check()
        time.sleep(0.05)
    return job.run_id


@task("forbidden")
def forbidden(job: RunningJob) -> None:
    """Do what the worker's role does not allow."""
    boto3.client("sqs").create_queue(QueueName="mine")
