"""The tasks of the two queues: each does as the job's data says."""

from __future__ import annotations

from typing import Any, Final

from remotejob import RunningJob, task

LONG: Final = "x" * 20_000


@task("work")
def work(job: RunningJob) -> Any:
    match job.data:
        case "fail":
            raise ValueError("it cannot be done")
        case "resume":
            if job.resumed_from is None:
                job.checkpoint(LONG)
                raise ValueError("once more, from here")
            return len(job.resumed_from)
    if job.input is not None:
        job.output("copy", job.download())
    return None


@task("summary")
def summary(job: RunningJob) -> Any:
    return job.data


@task("review")
def review(job: RunningJob) -> int:
    return 0 if job.input is None else len(job.open().read())
