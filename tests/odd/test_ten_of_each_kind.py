"""Ten odd items of each kind lie in the table: everybody else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, Queue, RemoteJob, State
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.odd import odd_items
from tests.systems import installation_on

HOUR = timedelta(hours=1)


@pytest.fixture(
    # moto sorts the whole table for each query
    params=["memory", pytest.param("aws", marks=pytest.mark.exhaustive)]
)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield replace(made, retention=timedelta(days=2))


def honest_jobs(queue: Queue) -> list[Job]:
    """Jobs of every kind that needs an item of its own."""
    first = queue.submit("work", data="first")
    return [
        first,
        queue.submit("work", delay=HOUR),
        queue.submit("work", depends=[first]),
        queue.submit("work", resource="scanner"),
        queue.submit("work", resource="scanner"),
        queue.submit("work", tenant="acme"),
        queue.submit("work", idempotency_key="k"),
    ]


def drop_messages(worker: Simulation) -> None:
    """Lose the messages that are visible now."""
    for message in worker.receive():
        worker.installation.messages.delete(message.address, [message.receipt])


def work(worker: Simulation) -> None:
    for _ in range(30):
        if not worker.step():
            return


def test_everything_goes_on_beside_ten_odd_items_of_each_kind(
    installation: Installation,
    clock: FakeClock,
    remote: RemoteJob,
    queue: Queue,
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: "done")
    batch = queue.map("work", [1, 2, 3], on_complete="work")
    jobs = honest_jobs(queue)
    lost = queue.submit("work")
    drop_messages(worker)
    odd_items.fill(
        installation,
        antecedent=jobs[0].id,
        batch_id=batch.id,
        removed=odd_items.odd_id(installation),
    )
    clock.advance(2 * HOUR)

    ticked = tick(installation)
    swept = sweep(installation)
    work(worker)
    for _ in range(3):
        clock.advance(timedelta(minutes=20))
        tick(installation)
        work(worker)

    assert {job.id: job.refresh().state for job in jobs} == dict.fromkeys(
        [job.id for job in jobs], State.COMPLETED
    )
    assert lost.refresh().state is State.COMPLETED
    assert batch.refresh().counts.completed == 3
    assert ticked["shards failed"] == ticked["batches failed"] == 0
    assert ticked["unreadable"] >= 8
    assert swept["unreadable"] >= len(odd_items.RECORDS)
    # everybody's readers
    listed = {job.id for job in remote.jobs(limit=1000)}
    assert {job.id for job in jobs} <= listed
    assert len(remote.get_jobs(listed)) == len(listed)
    assert queue.failed() == []
    assert remote.workers() == []
    assert [child.state for child in batch.children()] == [State.COMPLETED] * 3
    for job in jobs:
        assert job.why().code == "ended"
        job.logs()
        job.tracebacks()
        job.receipt()
    # each is said once, by its key
    said = [one.args for one in caplog.records if "left out" in one.msg]
    assert len(said) == len(set(map(str, said))) >= len(odd_items.RECORDS)

    # and all are shown
    diagnosis = remote.doctor()
    assert len(diagnosis.findings) >= len(odd_items.RECORDS)
    assert diagnosis.complete


def test_nothing_odd_is_found_in_a_table_of_ours(
    installation: Installation, clock: FakeClock, remote: RemoteJob, queue: Queue
) -> None:
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: job.log("hello"))
    queue.map("work", [1, 2, 3], on_complete="work")
    jobs = honest_jobs(queue)
    work(worker)
    jobs[-1].refresh().remove()
    tick(installation)
    sweep(installation)
    clock.advance(2 * HOUR)
    tick(installation)
    work(worker)
    sweep(installation)

    assert remote.doctor().findings == ()
    assert installation.skipped.count == 0
