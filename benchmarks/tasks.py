"""Our tasks: they do as little as possible, and write a mark."""

from __future__ import annotations

import logging

from benchmarks.marks import Marker
from remotejob import RunningJob, task

# don't count the cost of logging two lines per job; the other systems use this level too
logging.getLogger("remotejob").setLevel(logging.WARNING)
_MARKER = Marker()


@task("nothing")
def nothing(_job: RunningJob) -> None:
    """Do nothing."""
    _MARKER.mark()


@task("copy")
def copy(job: RunningJob) -> None:
    """Copy the input to one output."""
    with job.open() as body:
        job.output("copy", body.read())
    _MARKER.mark()


@task("nap")
def nap(job: RunningJob) -> None:
    """Sleep for a while."""
    _MARKER.nap(job.data["number"], job.data["seconds"])
