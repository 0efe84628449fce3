"""What the tests of a job's history compare."""

from __future__ import annotations

from remotejob import Job


def lines(job: Job) -> list[tuple[str | None, str]]:
    """Who did what to a job, oldest first."""
    return [(line.actor, line.message) for line in job.refresh().logs() if line.number < 0]
