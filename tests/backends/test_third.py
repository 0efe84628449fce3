"""A third backend, written by the ports alone, keeps their promises, and jobs run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from remotejob import RemoteJob, RunningJob, State
from remotejob.backends.memory import MemoryFiles
from remotejob.domain.retry import Retry
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation, JobStore, QueueDescription, WorkQueue
from remotejob.testing import FakeClock, Simulation, seeded_entropy
from remotejob.testing.conformance import MessagesConformance, StoreConformance
from tests.backends.third import SqliteMessages, SqliteStore


@pytest.fixture
def store() -> Iterator[JobStore]:
    with closing(SqliteStore()) as store:
        yield store


@pytest.fixture
def messages(clock: FakeClock) -> Iterator[WorkQueue]:
    with closing(SqliteMessages(clock)) as messages:
        yield messages


class TestSqliteStore(StoreConformance):
    pass


class TestSqliteMessages(MessagesConformance):
    pass


def test_jobs_run_fail_and_are_tried_again_on_the_third_backend(
    clock: FakeClock, store: JobStore, messages: WorkQueue
) -> None:
    installation = Installation(
        name="third",
        store=store,
        messages=messages,
        files=MemoryFiles(),
        clock=clock,
        entropy=seeded_entropy(),
        queues={"default": QueueDescription(name="default", tasks=("work",))},
    )
    worker = Simulation(installation=installation)

    @worker.tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(hours=2)))
    def work(job: RunningJob) -> str:
        if job.data == "fails once" and job.attempt == 1:
            raise ValueError("no")
        return "done"

    queue = RemoteJob(installation).queue()
    good, bad = queue.submit("work", data="good"), queue.submit("work", data="fails once")
    while worker.step():
        pass
    assert good.refresh().state is State.COMPLETED
    assert bad.refresh().state is State.WAITING

    clock.advance(timedelta(hours=2))
    tick(installation)
    while worker.step():
        pass

    assert bad.refresh().state is State.COMPLETED
    assert bad.attempt == 2
