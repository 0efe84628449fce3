"""A worker believes in its lease no longer than the store does, however slow the answers are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import LeaseLost, Queue
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.run import Run

T = TypeVar("T")

MOMENT = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
BEAT = LEASE / 3


@dataclass
class SlowAnswers:
    """Changes take effect at once, and their answers take long."""

    clock: FakeClock
    takes: timedelta = timedelta(0)

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        answer = function()
        if name in ("store.update", "store.transact"):
            self.clock.advance(self.takes)
        return answer


@dataclass
class Slow:
    """A worker whose answers are slow, with one job."""

    worker: Simulation
    answers: SlowAnswers

    def begun(self) -> Run:
        (message,) = self.worker.receive()
        run = self.worker.handler.begin(message)
        assert isinstance(run, Run)
        return run


@pytest.fixture
def slow(installation: Installation, clock: FakeClock, queue: Queue, tasks: Registry) -> Slow:
    answers = SlowAnswers(clock)
    tasks.task("work")(lambda job: None)
    queue.submit("work")
    worker = Simulation(installation=intercepted(installation, answers), tasks=tasks)
    return Slow(worker, answers)


def advance_to_the_end_of_the_stored_lease(
    run: Run, installation: Installation, clock: FakeClock
) -> None:
    record = installation.store.get(run.job_id)
    assert record is not None
    assert record.lease_ms is not None
    clock.advance(timedelta(milliseconds=record.lease_ms - clock.now_ms()))


def test_lease_of_a_claim_that_was_answered_late_ends_when_the_stored_one_does(
    slow: Slow, installation: Installation, clock: FakeClock
) -> None:
    slow.answers.takes = 15 * SECOND
    run = slow.begun()
    slow.answers.takes = 0 * SECOND

    advance_to_the_end_of_the_stored_lease(run, installation, clock)

    with pytest.raises(LeaseLost):
        run.check()


def test_lease_of_a_claim_with_a_lock_ends_when_the_stored_one_does(
    slow: Slow, installation: Installation, clock: FakeClock, queue: Queue
) -> None:
    """It takes several requests; the lease counts from the one that took it."""
    slow.worker.receive()
    queue.submit("work", resource="cat.jpg")
    slow.answers.takes = 15 * SECOND
    run = slow.begun()
    slow.answers.takes = 0 * SECOND

    clock.advance(LEASE - 15 * SECOND - SECOND)
    run.check()
    advance_to_the_end_of_the_stored_lease(run, installation, clock)
    with pytest.raises(LeaseLost):
        run.check()


def test_lease_of_a_heartbeat_that_was_answered_late_ends_when_the_stored_one_does(
    slow: Slow, installation: Installation, clock: FakeClock
) -> None:
    run = slow.begun()
    with slow.worker.runs.holding(run):
        clock.advance(BEAT)
        slow.answers.takes = 15 * SECOND
        slow.worker.beat()
        slow.answers.takes = 0 * SECOND

        clock.advance(LEASE - 15 * SECOND - SECOND)
        run.check()
        advance_to_the_end_of_the_stored_lease(run, installation, clock)
        with pytest.raises(LeaseLost):
            run.check()


def test_heartbeat_that_was_answered_after_its_lease_leaves_no_lease(
    slow: Slow, clock: FakeClock
) -> None:
    run = slow.begun()
    with slow.worker.runs.holding(run):
        clock.advance(BEAT)
        slow.answers.takes = LEASE + SECOND
        slow.worker.beat()

        with pytest.raises(LeaseLost):
            run.check()


def test_checkpoint_that_was_answered_late_extends_the_lease_no_longer_than_the_stored_one(
    slow: Slow, installation: Installation, clock: FakeClock
) -> None:
    run = slow.begun()
    with slow.worker.runs.holding(run):
        clock.advance(BEAT)
        slow.answers.takes = 15 * SECOND
        run.keep('"half"')
        slow.answers.takes = 0 * SECOND

        advance_to_the_end_of_the_stored_lease(run, installation, clock)
        with pytest.raises(LeaseLost):
            run.check()


def test_next_heartbeat_is_due_a_third_of_the_lease_after_the_last_one_began(
    slow: Slow, installation: Installation, clock: FakeClock
) -> None:
    """Two more fit before the lease ends, also after a slow answer."""
    run = slow.begun()

    def leased_until() -> int | None:
        record = installation.store.get(run.job_id)
        assert record is not None
        return record.lease_ms

    with slow.worker.runs.holding(run):
        clock.advance(BEAT)
        slow.answers.takes = 15 * SECOND
        slow.worker.beat()
        slow.answers.takes = 0 * SECOND
        first = leased_until()

        clock.advance(BEAT - 15 * SECOND - SECOND)
        slow.worker.beat()
        assert leased_until() == first, "not yet"
        clock.advance(SECOND)
        slow.worker.beat()
        assert leased_until() != first


def test_lease_that_ended_is_not_extended_even_if_the_store_would(
    slow: Slow, installation: Installation, clock: FakeClock
) -> None:
    """The machine slept; nobody has taken the job yet, but somebody may at this moment."""
    run = slow.begun()
    with slow.worker.runs.holding(run):
        clock.advance(LEASE)
        slow.worker.beat()

        with pytest.raises(LeaseLost):
            run.check()
    record = installation.store.get(run.job_id)
    assert record is not None
    assert record.lease_ms == clock.now_ms(), "no request was made"


@pytest.mark.parametrize("takes_s", [0, 15, 30])
def test_no_other_worker_can_begin_while_the_first_believes_in_its_lease(
    slow: Slow, installation: Installation, clock: FakeClock, tasks: Registry, takes_s: int
) -> None:
    slow.answers.takes = takes_s * SECOND
    run = slow.begun()
    slow.answers.takes = 0 * SECOND
    other = Simulation(installation=installation, tasks=tasks, worker="other")

    while not _lost(run):
        # a second message of the job, which others receive at any time
        assert not isinstance(other.handler.begin(run.held.message), Run)
        clock.advance(SECOND)
    # the clock of the other may be ahead by the margin
    clock.advance(CLOCK_SKEW - MOMENT)
    assert not isinstance(other.handler.begin(run.held.message), Run)
    clock.advance(MOMENT)
    assert isinstance(other.handler.begin(run.held.message), Run)


def _lost(run: Run) -> bool:
    try:
        run.check()
    except LeaseLost:
        return True
    return False
