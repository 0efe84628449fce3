"""One bad job holds back no other one, whatever the scheduler does with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import pytest

from remotejob import Job, QueueUnavailable, RemoteJob, State
from remotejob.domain.changes import Change
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.domain.transactions import Put, put_record
from remotejob.jobs.scheduler.lapsed import fail_ended
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Address, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted

T = TypeVar("T")
HOUR = timedelta(hours=1)


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"default": ("work",)})


@dataclass
class Refuses:
    """The table refuses all changes of one job."""

    job_id: str

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], T]) -> T:
        for argument in arguments:
            if isinstance(argument, Change) and argument.job_id == self.job_id:
                raise ConnectionError("this one is refused")
        return function()


def in_one_shard(installation: Installation, count: int, delay: timedelta = HOUR) -> list[Job]:
    """Jobs that one tick reads together."""
    queue = RemoteJob(installation).queue()
    jobs: list[Job] = []
    while len(jobs) < count:
        job = queue.submit("work", delay=delay)
        if not jobs or job.record.attention == jobs[0].record.attention:
            jobs.append(job)
    return jobs


def unreadable(job: Job, installation: Installation) -> None:
    """As if a later version had written it."""
    item = {**job.record.to_item(), Field.STATE: "levitating"}
    put = replace(put_record(job.record), content=item, condition=None)
    assert isinstance(put, Put)
    installation.store.transact([put])


def test_job_whose_record_cannot_be_read_holds_back_no_other(
    installation: Installation, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    bad, *good = in_one_shard(installation, 4)
    unreadable(bad, installation)
    clock.advance(HOUR)
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: None)
    for address in list(worker.receive()):
        installation.messages.delete(address.address, [address.receipt])

    tick(installation)
    while worker.step():
        pass

    assert [job.refresh().state for job in good] == [State.COMPLETED] * 3
    assert bad.id in caplog.text
    assert {job.id for job in good} <= {job.id for job in RemoteJob(installation).jobs()}


def test_sweep_passes_a_record_that_cannot_be_read(
    installation: Installation, clock: FakeClock
) -> None:
    queue = RemoteJob(installation).queue()
    jobs = [queue.submit("work") for _ in range(16)]
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: None)
    for message in worker.receive():
        installation.messages.delete(message.address, [message.receipt])
    unreadable(jobs[3], installation)
    clock.advance(3 * HOUR)

    assert sweep(installation)["sent"] >= 15 - 10


@pytest.mark.parametrize("kind", ["due", "lapsed"])
def test_mark_that_cannot_be_moved_holds_back_no_other(
    kind: str, installation: Installation, clock: FakeClock
) -> None:
    bad, *good = in_one_shard(installation, 4)
    clock.advance(HOUR)
    if kind == "lapsed":
        clock.advance(HOUR)
    refusing = intercepted(installation, Refuses(bad.id))

    counts = tick(refusing)

    assert counts["batches failed"] == 0
    assert counts["sent"] >= 4
    before = [job.record.attention_ms for job in good]
    assert [job.refresh().record.attention_ms for job in good] != before
    assert bad.refresh().record.attention_ms == bad.record.attention_ms


def test_job_that_cannot_be_failed_holds_back_no_other(
    installation: Installation, clock: FakeClock
) -> None:
    queue = RemoteJob(installation).queue()
    jobs = [queue.submit("work") for _ in range(3)]
    records = [
        replace(
            job.record,
            state=State.RUNNING,
            run_id="dead",
            attempt=3,
            crashes=CRASH_BUDGET - 1,
            lease_ms=clock.now_ms() - 60_000,
        )
        for job in jobs
    ]
    installation.store.transact([replace(put_record(one), condition=None) for one in records])
    refusing = intercepted(installation, Refuses(jobs[0].id))

    assert fail_ended(records, refusing) == 2
    assert [job.refresh().state for job in jobs] == [State.RUNNING, State.FAILED, State.FAILED]


def test_message_that_is_refused_holds_back_no_mark_of_another(
    installation: Installation, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = in_one_shard(installation, 4)
    clock.advance(HOUR)
    send = installation.messages.send

    def refuse_one(address: Address, messages: Sequence[Outgoing]) -> None:
        refused = {number for number, one in enumerate(messages) if bad.id in one.body}
        send(address, [one for number, one in enumerate(messages) if number not in refused])
        if refused:
            raise QueueUnavailable("one was refused", refused=refused)

    monkeypatch.setattr(installation.messages, "send", refuse_one)
    tick(installation)

    soon = clock.now_ms() + 60_000
    assert (bad.refresh().record.attention_ms or 0) <= soon
    assert all((job.refresh().record.attention_ms or 0) > soon for job in good)
