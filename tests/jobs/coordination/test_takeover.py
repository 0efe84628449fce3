"""A lock whose holder fell silent is taken over, and the holder cannot come back to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from remotejob import Job, LeaseLost, Queue, RemoteJob, Retry, State
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.locks import limits_of, take
from remotejob.jobs.coordination.locks import holders
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import ProcessDeath
from remotejob.worker.messages.settlements import Conclude
from remotejob.worker.runs.run import Run
from tests.jobs.coordination.work import Meanwhile, dies

SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=1)
LEASE = timedelta(seconds=60)

LOCKS = pytest.mark.parametrize("lock", ["resource", "tenant"])


@dataclass
class Two:
    """Two workers whose jobs need one lock, and what happens before a request of each arrives."""

    queue: Queue
    first: Simulation
    second: Simulation
    to_first: Meanwhile
    to_second: Meanwhile

    def submit(self, lock: str, retry: Retry | None = None) -> Job:
        if lock == "resource":
            return self.queue.submit("work", resource="cat.jpg", retry=retry)
        return self.queue.submit("work", tenant="t", retry=retry)

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


@LOCKS
def test_silent_holders_lock_is_taken_over_by_one_of_two_who_want_it(
    two: Two, clock: FakeClock, lock: str
) -> None:
    first = two.submit(lock)
    assert two.begun(two.first, first) is not None
    clock.advance(LEASE + CLOCK_SKEW)
    taken: list[Run | None] = []

    def other_is_faster(_: object) -> None:
        """It has read the same silent holder."""
        taken.append(two.begun(two.first, two.submit(lock)))

    two.to_second.before["store.transact"] = other_is_faster
    taken.append(two.begun(two.second, two.submit(lock)))

    assert [run is not None for run in taken] == [True, False]


@LOCKS
def test_free_lock_is_taken_by_one_of_two_who_want_it(two: Two, lock: str) -> None:
    taken: list[Run | None] = []

    def other_is_faster(_: object) -> None:
        taken.append(two.begun(two.first, two.submit(lock)))

    two.to_second.before["store.transact"] = other_is_faster
    taken.append(two.begun(two.second, two.submit(lock)))

    assert [run is not None for run in taken] == [True, False]


@LOCKS
def test_lock_in_the_name_of_a_run_that_its_job_no_longer_has_is_taken_over(
    two: Two, installation: Installation, lock: str
) -> None:
    """However it was left: the run that it names is not live."""
    first = two.submit(lock)
    assert two.begun(two.first, first) is not None
    record = first.refresh().record
    (limit,) = limits_of(replace(record, tenant_limit=1 if lock == "tenant" else None))
    (held,) = holders(limit, installation)
    left = take(held.key, record, "0123456789abcdef", seen=held)
    assert installation.store.transact([left]) is None

    assert two.begun(two.second, two.submit(lock)) is not None


@LOCKS
def test_end_that_is_carried_out_again_frees_nobody_elses_lock(
    two: Two, installation: Installation, lock: str
) -> None:
    """Its message comes a second time while the next job holds the lock."""
    first = two.submit(lock)
    run = two.begun(two.first, first)
    assert run is not None
    settlement = two.first.handler.complete(run, Completion())
    assert settlement is not None
    two.first.settler.add(settlement)
    two.first.settler.flush()
    second = two.submit(lock)
    assert two.begun(two.second, second) is not None

    again = two.first.handler.begin(run.held.message)
    assert isinstance(again, Conclude)
    two.first.settler.add(again)
    two.first.settler.flush()

    third = two.submit(lock)
    assert two.begun(two.first, third) is None
    assert third.refresh().record.parked is not None


@LOCKS
def test_attempt_that_failed_frees_only_its_own_hold_on_the_lock(
    two: Two, installation: Installation, lock: str
) -> None:
    """Before it gets there, the next attempt of the same job holds the lock."""
    retry = Retry(max_attempts=3, wait=timedelta(0))
    first = two.submit(lock, retry)
    run = two.begun(two.first, first)
    assert run is not None
    attempts: list[object] = []

    def next_attempt(_: object) -> None:
        attempts.append(two.second.handler.begin(run.held.message))

    two.to_first.before["store.items"] = next_attempt
    two.first.handler.fail(run, ValueError("no"))

    assert isinstance(attempts[0], Run)
    third = two.submit(lock)
    assert two.begun(two.first, third) is None
    assert third.refresh().record.parked is not None


def test_lock_of_a_failed_attempt_whose_worker_died_is_freed_when_its_message_comes_back(
    two: Two, clock: FakeClock
) -> None:
    """The next attempt is minutes away; who waits for the lock does not wait for that."""
    first = two.submit("resource", Retry(max_attempts=3, wait=timedelta(minutes=5)))
    run = two.begun(two.first, first)
    assert run is not None
    waiter = two.submit("resource")
    assert two.begun(two.second, waiter) is None
    assert waiter.refresh().record.parked is not None
    two.to_first.before["store.items"] = lambda _: dies()
    with pytest.raises(ProcessDeath):
        two.first.handler.fail(run, ValueError("no"))

    two.second.handler.begin(run.held.message)

    assert waiter.refresh().record.parked is None
    assert two.begun(two.second, waiter) is not None


def test_waiter_that_is_paused_while_it_is_woken_gives_way_to_the_next(
    two: Two, clock: FakeClock
) -> None:
    first = two.submit("resource")
    run = two.begun(two.first, first)
    assert run is not None
    waiters = []
    for _ in range(2):
        clock.advance(SECOND)
        waiters.append(two.submit("resource"))
        assert two.begun(two.second, waiters[-1]) is None
    settlement = two.first.handler.complete(run, Completion())
    assert settlement is not None
    two.first.settler.add(settlement)

    def paused(_: object) -> None:
        """After the lock was freed and the first waiter read."""
        two.to_first.before["store.transact"] = lambda _: waiters[0].pause()

    two.to_first.before["store.transact"] = paused
    two.first.settler.flush()

    assert waiters[0].refresh().state is State.PAUSED
    assert waiters[1].refresh().record.parked is None


def test_waiter_that_is_put_off_while_it_is_woken_stays_put_off(two: Two, clock: FakeClock) -> None:
    first = two.submit("resource")
    run = two.begun(two.first, first)
    assert run is not None
    waiter = two.submit("resource")
    assert two.begun(two.second, waiter) is None
    settlement = two.first.handler.complete(run, Completion())
    assert settlement is not None
    two.first.settler.add(settlement)
    later = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + timedelta(hours=1)

    def put_off(_: object) -> None:
        two.to_first.before["store.transact"] = lambda _: waiter.make_ready(at=later)

    two.to_first.before["store.transact"] = put_off
    two.first.settler.flush()

    assert waiter.refresh().due_at == later


def test_job_that_changed_while_its_lock_was_taken_begins_with_its_new_record(
    two: Two, installation: Installation, clock: FakeClock
) -> None:
    minute = timedelta(minutes=1)
    job = two.queue.submit("work", resource="cat.jpg", delay=2 * minute)
    clock.advance(3 * minute)
    earlier = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) - 2 * minute

    def changed(_: object) -> None:
        clock.advance(MOMENT)
        job.make_ready(at=earlier)

    two.to_second.before["store.transact"] = changed
    run = two.begun(two.second, job)

    assert run is not None
    assert run.record == installation.store.get(job.id)
