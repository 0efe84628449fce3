"""Our tasks: they cost as little as a task can, and leave a mark."""

from __future__ import annotations

import logging

from benchmarks.marks import Marker
from remotejob import RunningJob, task

# two lines a job are the log's cost, not the worker's; the peers log at this level too
logging.getLogger("remotejob").setLevel(logging.WARNING)
_MARKER = Marker()


@task("nothing")
def nothing(_job: RunningJob) -> None:
    """Do nothing."""
    _MARKER.mark()


@task("copy")
def copy(job: RunningJob) -> None:
    """Read the input, and write it as the one output."""
    with job.open() as body:
        job.output("copy", body.read())
    _MARKER.mark()


@task("nap")
def nap(job: RunningJob) -> None:
    """Take a while."""
    _MARKER.nap(job.data["number"], job.data["seconds"])
