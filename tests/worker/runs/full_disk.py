"""Tasks that find the disk full, wherever they run."""

from __future__ import annotations

import errno
import os

from remotejob import Fatal, Process, RunningJob, task
from remotejob.ports import Installation
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.testing import memory_installation


def system(task: str) -> Installation:
    return memory_installation(queues={"default": (task,)})


def _find_it_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(how: str) -> None:
    try:
        _find_it_full()
    except OSError as problem:
        if how == "plain":
            raise
        if how == "wrapped":
            raise RuntimeError("cannot write the page") from problem
        raise Fatal("cannot write the page") from problem


@task("full-disk-thread")
def in_thread(job: RunningJob) -> None:
    _write(job.data)


@task("full-disk-process", runs_in=Process())
def in_process(job: RunningJob) -> None:
    if job.data == "download":
        job.download()
    _write(job.data)


@task("full-disk-loop")
async def on_loop(job: AsyncRunningJob) -> None:
    _write(await job.data())
