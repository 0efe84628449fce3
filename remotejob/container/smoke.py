"""The task that a deployment runs to see that all parts go together; every worker has it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from remotejob.names import SMOKE_TASK, installed_version
from remotejob.tasks.registry import Registry
from remotejob.tasks.running_job import RunningJob

MOST_BYTES: Final = 1024
"""It reads no more: anybody who may upload can make such a job."""

_TIMEOUT: Final = timedelta(minutes=1)


def register(registry: Registry) -> None:
    """Raises: InvalidName, when a task of the user's has its name."""
    registry.task(SMOKE_TASK, timeout=_TIMEOUT)(smoke)


def smoke(job: RunningJob) -> dict[str, Any]:
    """Read the input, write it as an output, and say which version of the library ran it."""
    with job.open() as file:
        content = file.read(MOST_BYTES)
    job.output("smoke.txt", content)
    return {"bytes": len(content), "version": installed_version()}
