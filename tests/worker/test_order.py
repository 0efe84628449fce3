"""A worker begins the jobs of one receive as they came, or by chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import RemoteJob, RunningJob, Submission
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.priority import Order
from remotejob.ports import Address, QueueDescription, Received
from remotejob.tasks import Registry
from remotejob.testing import memory_installation
from tests.worker.test_threads import working


class Generous(MemoryMessages):
    """Gives ten messages, whatever was asked for; the worker gives back what is too much."""

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        return super().receive(address, limit=10, wait=wait, hidden=hidden)


@pytest.mark.parametrize("order", Order)
def test_jobs_begin_in_the_order_of_their_queue(order: Order) -> None:
    clock, tasks, begun = SystemClock(), Registry(), list[int]()
    queue = QueueDescription(name="default", tasks=("work",), order=order)
    installation = replace(
        memory_installation(),
        clock=clock,
        messages=Generous(clock),
        queues={"default": queue},
    )

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        begun.append(job.data)

    jobs = (
        RemoteJob(installation)
        .queue()
        .submit_many(Submission(task="work", data=number) for number in range(40))
    )
    with working(installation, tasks, concurrency=1):
        for job in jobs:
            job.wait(30)

    assert sorted(begun) == [*range(40)]
    assert (begun == [*range(40)]) is (order is not Order.RANDOM)
