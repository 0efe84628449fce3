"""Tasks of the end-to-end tests, run by real workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import boto3

from remotejob import Retry, RunningJob, task
from worker_container.tasks import thumbnail

__all__ = ["crash_once", "forbidden", "hold", "thumbnail"]


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


@task("crash_once")
def crash_once(job: RunningJob) -> str:
    """Take the process down, the first time; then say which process did not go down."""
    crashed = Path(job.data["folder"]) / f"crashed-{job.id}"
    if not crashed.exists():
        crashed.touch()
        os._exit(1)
    return str(os.getpid())
