"""What a task reported, which of a completed job only its record says."""

from __future__ import annotations

import json

from remotejob import Job


def reported(job: Job) -> tuple[float, float]:
    """Done and total as stored; 0 of 1 if the task reported nothing."""
    done, total = json.loads(job.record.progress_json or "[0,1]")
    return done, total
