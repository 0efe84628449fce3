"""A worker told to stop gives back what it runs, whatever fails on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Submission
from remotejob.jobs.submission.submit import submit
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import memory_installation
from remotejob.testing.crashes import Unreachable
from remotejob.testing.interception import intercepted
from remotejob.worker.worker import Worker, WorkerOptions

T = TypeVar("T")


class _FirstOutcomeIsRefused:
    """Nothing can be written of the first job that is to be given back."""

    def __init__(self) -> None:
        self._refused: str | None = None

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        outcome = name == "store.update" and arguments[0].condition.name == "own_run"
        if outcome and self._refused in (None, arguments[0].job_id):
            self._refused = arguments[0].job_id
            raise Unreachable("all the time")
        return function()


@pytest.mark.exhaustive
def test_run_that_cannot_be_given_back_holds_back_no_other() -> None:
    installation = memory_installation()
    tasks = Registry()
    begun, over = threading.Semaphore(0), threading.Event()

    def work(_: RunningJob) -> None:
        begun.release()
        over.wait()

    tasks.task("work")(work)
    queue = installation.queues["default"]
    jobs = [
        submit(Submission(task="work"), queue=queue, installation=installation) for _ in range(3)
    ]
    options = WorkerOptions(queue="default", name="stopping", grace=timedelta(0))
    worker = Worker(intercepted(installation, _FirstOutcomeIsRefused()), tasks, options)
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(worker.run()))
    thread.start()
    for _ in jobs:
        begun.acquire()
    # twice: it waits neither for the runs nor for polls that are still open
    worker.stop()
    worker.stop()
    thread.join()
    over.set()
    records = [installation.store.get(job.id) for job in jobs]
    assert clean == [False]
    assert sorted(record.state for record in records if record) == [
        State.READY,
        State.READY,
        State.RUNNING,
    ]
