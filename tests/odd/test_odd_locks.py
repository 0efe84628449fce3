"""A lock is held only by a live run of a job that needs it; `why` explains any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Queue, State
from remotejob.domain.ids import partition_of
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.runs.run import Run
from tests.odd.odd_items import odd_id, put, record

Lock = Mapping[Any, Mapping[str, Any]]
LIVE: Mapping[str, Any] = {"S": "a" * 16}
"""The id of a run."""


def running(installation: Installation, **fields: Mapping[str, Any]) -> str:
    """A record under a live lease, whose texts or types may be odd."""
    job_id = odd_id(installation)
    lease = {"N": str(installation.clock.now_ms() + 3_600_000)}
    item = record(installation, STATE={"S": "running"}, RUN=LIVE, LEASE=lease)
    item |= {str(Field[name]): value for name, value in fields.items()}
    put(installation, partition_of(job_id), job_id, item)
    return job_id


LOCKS: Mapping[str, Callable[[Installation], Lock]] = {
    "without anything": lambda _: {},
    "without a run": lambda here: {Field.JOB: {"S": running(here)}},
    "without a job": lambda _: {Field.RUN: LIVE},
    "of an empty run": lambda here: {Field.JOB: {"S": running(here)}, Field.RUN: {"S": ""}},
    "of a run that is a number": lambda here: {
        Field.JOB: {"S": running(here)},
        Field.RUN: {"N": "1"},
    },
    "of a job that is a path": lambda _: {Field.JOB: {"S": "../x"}, Field.RUN: LIVE},
    "of a job that never was": lambda here: {Field.JOB: {"S": odd_id(here)}, Field.RUN: LIVE},
    "of a live run without this lock": lambda here: {
        Field.JOB: {"S": running(here)},
        Field.RUN: LIVE,
    },
    "of a record whose lease is text": lambda here: {
        Field.JOB: {"S": running(here, RESOURCE={"S": "scanner"}, LEASE={"S": "x"})},
        Field.RUN: LIVE,
    },
    "of a record whose lease is beyond sense": lambda here: {
        Field.JOB: {"S": running(here, RESOURCE={"S": "scanner"}, LEASE={"N": "9" * 30})},
        Field.RUN: LIVE,
    },
}


@pytest.mark.parametrize("waits", [False, True], ids=["next", "parked"])
@pytest.mark.parametrize("what", LOCKS)
def test_an_odd_lock_is_free(
    what: str,
    waits: bool,  # noqa: FBT001 (pytest gives it)
    installation: Installation,
    queue: Queue,
    worker: Simulation,
    clock: FakeClock,
) -> None:
    job = queue.submit("work", resource="scanner")
    if waits:
        # it is parked behind an honest lock, which then turns odd
        first = queue.submit("work", resource="scanner")
        for message in worker.receive():
            begun = worker.handler.begin(message)
            if not isinstance(begun, Run):
                worker.settler.add(begun)
        worker.settler.flush()
        states = {one.refresh().state for one in (job, first)}
        assert states == {State.RUNNING, State.WAITING}
        job = next(one for one in (job, first) if one.state is State.WAITING)
    put(installation, "resource#scanner", "lock#000", LOCKS[what](installation))

    job.why()
    worker.step()
    if waits:
        clock.advance(timedelta(minutes=30))
        tick(installation)
        worker.step()

    assert job.refresh().state is State.COMPLETED


def test_a_lock_of_a_live_run_whose_record_cannot_be_read_is_held_until_its_lease_ends(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    holder = running(installation, RESOURCE={"S": "scanner"}, STATE={"S": "levitating"})
    lock = {Field.JOB: {"S": holder}, Field.RUN: LIVE}
    put(installation, "resource#scanner", "lock#000", lock)
    job = queue.submit("work", resource="scanner")
    for _ in range(5):
        worker.step()
        clock.advance(timedelta(seconds=15))
    assert job.refresh().attempt == 0, "a newer version may be running it"

    clock.advance(timedelta(hours=1))
    worker.step()

    assert job.refresh().state is State.COMPLETED
