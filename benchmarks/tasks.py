"""Tasks that cost as little as a task can."""

from __future__ import annotations

import logging

from remotejob import RunningJob, task

# two lines a job are the log's cost, not the worker's
logging.getLogger("remotejob").setLevel(logging.WARNING)


@task("nothing")
def nothing(job: RunningJob) -> None:
    """Do nothing."""


@task("copy")
def copy(job: RunningJob) -> None:
    """Read the input, and write it as the one output."""
    with job.open() as body:
        job.output("copy", body.read())
