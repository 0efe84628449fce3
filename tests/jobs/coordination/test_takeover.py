"""A lock whose holder fell silent is taken over, and the holder cannot come back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import pytest

from remotejob import Job, LeaseLost, Queue, RemoteJob, State
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.run import Run

T = TypeVar("T")

SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=1)
LEASE = timedelta(seconds=60)

LOCKS = pytest.mark.parametrize("lock", ["resource", "tenant"])


class Meanwhile:
    """Something else happens, once, before a request of a kind arrives, or around its arrival."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[Callable[[], object]], object]] = {}
        """By the kind of the request; each gets the request's arrival, which it may bring about."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        happens = self.before.pop(name, None)
        if happens is None:
            return function()
        arrives = cache(function)
        happens(arrives)
        return arrives()


@dataclass
class Two:
    """Two workers whose jobs need one lock, and what happens before a request of each arrives."""

    queue: Queue
    first: Simulation
    second: Simulation
    to_first: Meanwhile
    to_second: Meanwhile

    def submit(self, lock: str) -> Job:
        if lock == "resource":
            return self.queue.submit("work", resource="cat.jpg")
        return self.queue.submit("work", tenant="t")

    def begun(self, worker: Simulation, job: Job) -> Run | None:
        """The run of a job that a worker begins by the job's message, or None."""
        for message in worker.receive():
            if Pending.read(message.body).job_id == job.id:
                begun = worker.handler.begin(message)
                return begun if isinstance(begun, Run) else None
        return None


@pytest.fixture
def two(installation: Installation) -> Two:
    capped = replace(installation.queues["default"], tenant_limit=1)
    installation = replace(installation, queues={"default": capped})
    tasks = Registry()
    tasks.task("work")(lambda job: None)
    to_first, to_second = Meanwhile(), Meanwhile()
    return Two(
        RemoteJob(installation).queue(),
        Simulation(installation=intercepted(installation, to_first), tasks=tasks, worker="a"),
        Simulation(installation=intercepted(installation, to_second), tasks=tasks, worker="b"),
        to_first,
        to_second,
    )


@LOCKS
def test_lock_is_taken_over_once_the_lease_has_lapsed_by_the_margin_and_no_moment_before(
    two: Two, clock: FakeClock, lock: str
) -> None:
    first = two.submit(lock)
    assert two.begun(two.first, first) is not None

    clock.advance(LEASE + CLOCK_SKEW - MOMENT)
    early = two.submit(lock)
    assert two.begun(two.second, early) is None
    assert early.refresh().state is State.WAITING

    clock.advance(MOMENT)
    second = two.submit(lock)
    assert two.begun(two.second, second) is not None


@LOCKS
def test_holder_whose_heartbeat_arrives_after_the_takeover_is_stopped(
    two: Two, clock: FakeClock, lock: str
) -> None:
    """It was sent while the lease lasted; if it counted, two runs would hold the lock."""
    first = two.submit(lock)
    run = two.begun(two.first, first)
    assert run is not None
    taken: list[Run | None] = []

    def taken_over(_: object) -> None:
        clock.advance(SECOND + CLOCK_SKEW)
        taken.append(two.begun(two.second, two.submit(lock)))

    clock.advance(LEASE - SECOND)
    two.to_first.before["store.update"] = taken_over
    with two.first.runs.holding(run):
        two.first.beat()

    (other,) = taken
    assert other is not None
    with pytest.raises(LeaseLost):
        run.check()
    lease_ms = first.refresh().record.lease_ms
    assert lease_ms is None or lease_ms <= clock.now_ms(), "others would wait for its end"


@LOCKS
def test_lock_is_not_taken_over_from_a_holder_whose_heartbeat_arrives_just_before(
    two: Two, clock: FakeClock, lock: str
) -> None:
    first = two.submit(lock)
    run = two.begun(two.first, first)
    assert run is not None
    taken: list[Run | None] = []

    def nearly_taken_over(arrives: Callable[[], object]) -> None:
        # after the other worker has read the silent holder
        two.to_second.before["store.transact"] = lambda _: arrives()
        clock.advance(SECOND + CLOCK_SKEW)
        taken.append(two.begun(two.second, two.submit(lock)))

    clock.advance(LEASE - SECOND)
    two.to_first.before["store.update"] = nearly_taken_over
    with two.first.runs.holding(run):
        two.first.beat()

    assert taken == [None]
    run.check()
