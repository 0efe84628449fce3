"""The suite for locks and the jobs that wait for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from remotejob.domain import locks
from remotejob.domain.command_changes import remove
from remotejob.domain.conditions import Item
from remotejob.domain.history import Action, first_line
from remotejob.domain.locks import SLOTS, WAITERS, Held, Limit
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.transactions import Conflict, Put, Step
from remotejob.names import Field
from remotejob.ports import JobStore, Updated
from remotejob.testing.conformance import catalogue, samples
from remotejob.testing.conformance.catalogue import HELD, LIMIT, SLOT
from remotejob.testing.conformance.samples import (
    LEASE,
    NOW,
    OTHER_RUN,
    RUN,
    SECOND,
    SKEW,
    TOKEN,
)
from remotejob.testing.conformance.store_changes import (
    NOT_CLAIMABLE,
    assert_applied,
    assert_refused,
)

_LOOK: Final = NOW + 10 * LEASE
_NEEDS: Final = {
    "a resource": {"resource": "scanner"},
    "a place among its tenant's": {"tenant": "mueller", "tenant_limit": 2},
}
_CLAIMABLE: Final = {
    "ready": samples.ready(resource="scanner"),
    "waiting and due": samples.waiting(resource="scanner"),
    "ready again, a lapsed lease left over": samples.ready(
        resource="scanner", lease_ms=NOW - SKEW, attempt=2
    ),
    "ready, written by a clock ahead of ours": samples.ready(
        resource="scanner", updated_ms=NOW + SECOND
    ),
}
_NOT_CLAIMABLE: Final = {
    **NOT_CLAIMABLE,
    "changed since it was read": samples.ready(resource="scanner", updated_ms=NOW - 1),
}
_CRASHED: Final = first_line(
    Action.CRASHED,
    at_ms=NOW,
    actor="",
    detail="worker w1 died, or fell silent until its lease ended",
)
_HOLDER: Final = HELD.job_id
_OVER: Final = {
    "has fallen silent": samples.silent(id=_HOLDER),
    "has let go of its lease": samples.ready(id=_HOLDER, run_id=RUN),
    "runs again, in another run": samples.running(id=_HOLDER, run_id=OTHER_RUN),
    "has completed": samples.in_state(State.COMPLETED, id=_HOLDER),
    "was cancelled, its lease lapsed": samples.in_state(
        State.CANCELLED, id=_HOLDER, lease_ms=NOW - SKEW
    ),
}
_LIVE: Final = {
    "runs": samples.running(id=_HOLDER),
    "has a lease within the margin for skew": samples.running(id=_HOLDER, lease_ms=NOW - SKEW + 1),
    "was cancelled and winds down": samples.in_state(
        State.CANCELLED, id=_HOLDER, lease_ms=NOW + LEASE
    ),
}


def _put_lock(store: JobStore, held: Held = HELD) -> Item:
    """Put a lock in its slot and return the item."""
    content: Item = {Field.JOB: held.job_id, Field.RUN: held.run_id}
    assert store.transact([Put(key=held.key, content=content)]) is None
    return {**content, Field.PK: held.key.partition, Field.SK: held.key.name}


def _taking(record: JobRecord, *, seen: Held | None = None) -> list[Step]:
    steps: list[Step] = [
        catalogue.claim_locked(record),
        locks.take(SLOT, record, OTHER_RUN, seen=seen),
    ]
    if seen is not None:
        steps.append(locks.check_over(seen, now_ms=NOW, skew_ms=SKEW))
    return steps


def _claimed(before: JobRecord) -> JobRecord:
    stamp = max(NOW, before.updated_ms)
    return replace(
        before,
        state=State.RUNNING,
        run_id=OTHER_RUN,
        worker="w2",
        lease_ms=NOW + LEASE,
        started_ms=stamp,
        updated_ms=stamp,
        attempt=before.attempt + 1,
        attention=None,
        attention_ms=None,
    )


def _parking(record: JobRecord) -> list[Step]:
    return [*locks.park(record, LIMIT, now_ms=NOW, skew_ms=SKEW, look_ms=_LOOK)]


def _parked(before: JobRecord, **fields: Any) -> JobRecord:
    return replace(
        before,
        state=State.WAITING,
        parked=LIMIT.partition,
        lease_ms=None,
        due_ms=before.due_ms or before.created_ms,
        attention=attention_key(Attention.WAITING, before.id),
        attention_ms=_LOOK,
        **fields,
    )


def _waiters(store: JobStore, limit: Limit = LIMIT) -> list[str]:
    return [name.removeprefix(WAITERS) for name, _ in store.items(limit.partition, WAITERS)]


class LocksConformance:
    """A lock has one holder; a job that finds it held is parked until it is released."""

    @pytest.mark.parametrize("needed", _NEEDS.values(), ids=_NEEDS)
    def test_a_plain_claim_is_refused_by_a_job_that_needs(
        self, store: JobStore, needed: dict[str, Any]
    ) -> None:
        assert_refused(store, samples.ready(**needed), catalogue.claim())

    def test_a_tenant_without_a_limit_needs_no_lock(self, store: JobStore) -> None:
        before = samples.ready(tenant="mueller")
        assert_applied(store, before, catalogue.claim(), _claimed(before))

    @pytest.mark.parametrize("before", _CLAIMABLE.values(), ids=_CLAIMABLE)
    def test_a_free_lock_is_taken_with_the_claim_of_a_job_that_is(
        self, store: JobStore, before: JobRecord
    ) -> None:
        store.put_new(before)

        assert store.transact(_taking(before)) is None

        assert store.get(before.id) == _claimed(before)
        ((name, item),) = store.items(LIMIT.partition, SLOTS)
        assert Held.of(LIMIT, name, item) == Held(SLOT, before.id, OTHER_RUN)

    @pytest.mark.parametrize("before", _NOT_CLAIMABLE.values(), ids=_NOT_CLAIMABLE)
    def test_no_lock_is_taken_for_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)

        conflict = store.transact(_taking(samples.ready(resource="scanner")))

        assert conflict == Conflict(0, before.to_item())
        assert store.get(before.id) == before
        assert store.item(SLOT) is None

    def test_a_lock_that_is_held_refuses_the_claim(self, store: JobStore) -> None:
        before = samples.ready(resource="scanner")
        store.put_new(before)
        lock = _put_lock(store)

        conflict = store.transact(_taking(before))

        assert conflict == Conflict(1, lock)
        assert conflict.record is None
        assert store.get(before.id) == before
        assert store.item(SLOT) == lock

    @pytest.mark.parametrize("holder", _OVER.values(), ids=_OVER)
    def test_a_lock_is_taken_over_from_a_holder_that(
        self, store: JobStore, holder: JobRecord
    ) -> None:
        before = samples.ready(resource="scanner")
        store.put_fresh([before, holder])
        lock = _put_lock(store)

        assert store.transact(_taking(before, seen=HELD)) is None

        assert store.get(before.id) == _claimed(before)
        assert store.get(holder.id) == holder
        assert store.item(SLOT) == {**lock, Field.JOB: before.id, Field.RUN: OTHER_RUN}

    def test_a_lock_is_taken_over_from_a_holder_that_is_gone(self, store: JobStore) -> None:
        before = samples.ready(resource="scanner")
        store.put_new(before)
        _put_lock(store)

        assert store.transact(_taking(before, seen=HELD)) is None
        assert store.get(before.id) == _claimed(before)

    def test_a_lock_is_taken_over_from_a_holder_that_was_removed(self, store: JobStore) -> None:
        before = samples.ready(resource="scanner")
        holder = samples.in_state(State.FAILED, id=_HOLDER, owed=None)
        store.put_fresh([before, holder])
        _put_lock(store)
        assert store.transact([remove(holder, now_ms=NOW, kept_ms=LEASE, token=TOKEN)]) is None

        assert store.transact(_taking(before, seen=HELD)) is None
        assert store.get(before.id) == _claimed(before)

    @pytest.mark.parametrize("holder", _LIVE.values(), ids=_LIVE)
    def test_no_lock_is_taken_over_from_a_holder_that(
        self, store: JobStore, holder: JobRecord
    ) -> None:
        before = samples.ready(resource="scanner")
        store.put_fresh([before, holder])
        lock = _put_lock(store)

        assert store.transact(_taking(before, seen=HELD)) == Conflict(2, holder.to_item())
        assert store.get(before.id) == before
        assert store.item(SLOT) == lock

    @pytest.mark.parametrize(
        "now_held",
        [replace(HELD, run_id=OTHER_RUN), replace(HELD, job_id=samples.job_id(29))],
        ids=["in another run", "by another job"],
    )
    def test_no_lock_is_taken_over_that_is_held(self, store: JobStore, now_held: Held) -> None:
        before = samples.ready(resource="scanner")
        store.put_new(before)
        lock = _put_lock(store, now_held)

        assert store.transact(_taking(before, seen=HELD)) == Conflict(1, lock)
        assert store.get(before.id) == before

    def test_no_lock_is_taken_over_that_is_free_by_now(self, store: JobStore) -> None:
        before = samples.ready(resource="scanner")
        store.put_new(before)

        assert store.transact(_taking(before, seen=HELD)) == Conflict(1, None)
        assert store.get(before.id) == before
        assert store.item(SLOT) is None

    def test_a_job_takes_its_own_lock_over_from_its_run_that_died(self, store: JobStore) -> None:
        before = samples.silent(resource="scanner")
        store.put_new(before)
        own = Held(SLOT, before.id, RUN)
        _put_lock(store, own)

        take = locks.take(SLOT, before, OTHER_RUN, seen=own)
        assert store.transact([catalogue.reclaim(before), take]) is None

        assert store.get(before.id) == replace(
            _claimed(before), crashes=1, crashed_runs=frozenset({RUN})
        )
        item = store.item(SLOT)
        assert item is not None
        assert Held.of(LIMIT, SLOT.name, item) == Held(SLOT, before.id, OTHER_RUN)

    def test_a_holder_lets_go(self, store: JobStore) -> None:
        _put_lock(store)

        assert store.transact([locks.unlock(HELD)]) is None
        assert store.item(SLOT) is None
        assert store.transact([locks.unlock(HELD)]) == Conflict(0, None)

    @pytest.mark.parametrize(
        "held",
        [replace(HELD, run_id=OTHER_RUN), replace(HELD, job_id=samples.job_id(29))],
        ids=["run", "job"],
    )
    def test_nobody_lets_go_of_the_lock_of_another(self, store: JobStore, held: Held) -> None:
        lock = _put_lock(store, held)

        assert store.transact([locks.unlock(HELD)]) == Conflict(0, lock)
        assert store.item(SLOT) == lock

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (record, _parked(record))
            for record in (*_CLAIMABLE.values(), samples.waiting(due_ms=NOW - LEASE))
        ]
        + [
            (
                record,
                _parked(
                    record,
                    crashes=2,
                    crashed_runs=frozenset({RUN}),
                    history=_CRASHED,
                ),
            )
            for record in (samples.silent(crashes=1),)
        ],
        ids=[*_CLAIMABLE, "waiting and long due", "running, its worker silent"],
    )
    def test_a_lock_that_is_held_parks_a_job_that_is(
        self, store: JobStore, before: JobRecord, after: JobRecord
    ) -> None:
        store.put_new(before)
        lock = _put_lock(store)

        assert store.transact(_parking(before)) is None

        assert store.get(before.id) == after
        assert store.item(SLOT) == lock
        assert _waiters(store) == [before.id]
        # it cannot be claimed until it is woken
        stamp = max(NOW, before.updated_ms)
        outcome = store.update(catalogue.claim(stamp_ms=stamp))
        assert not isinstance(outcome, Updated)
        refused = store.transact([catalogue.claim_locked(after)])
        assert refused == Conflict(0, after.to_item())

    @pytest.mark.parametrize("before", _NOT_CLAIMABLE.values(), ids=_NOT_CLAIMABLE)
    def test_no_job_is_parked_that_is(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)
        _put_lock(store)

        conflict = store.transact(_parking(samples.ready(resource="scanner")))

        assert conflict == Conflict(0, before.to_item())
        assert store.get(before.id) == before
        assert _waiters(store) == []

    @pytest.mark.parametrize(
        "before",
        [
            samples.silent(lease_ms=NOW - SKEW + 1),
            samples.silent(run_id=OTHER_RUN),
            samples.ready(run_id=RUN),
        ],
        ids=["within the margin for skew", "another run", "released"],
    )
    def test_no_silent_job_is_parked_that_is_by_now(
        self, store: JobStore, before: JobRecord
    ) -> None:
        store.put_new(before)
        _put_lock(store)

        assert store.transact(_parking(samples.silent())) == Conflict(0, before.to_item())
        assert _waiters(store) == []

    def test_those_who_wait_stand_in_the_order_they_were_submitted_in(
        self, store: JobStore
    ) -> None:
        _put_lock(store)
        ids = [samples.job_id(number, at_ms=NOW + at) for number, at in ((3, 0), (1, 5), (2, 0))]
        for job_id in ids:
            record = samples.ready(id=job_id, resource="scanner")
            store.put_new(record)
            assert store.transact(_parking(record)) is None

        assert _waiters(store) == [ids[2], ids[0], ids[1]]

    def test_a_parked_job_is_woken_once(self, store: JobStore) -> None:
        before = samples.ready(resource="scanner")
        store.put_new(before)
        _put_lock(store)
        store.transact(_parking(before))
        wake = locks.unpark(_parked(before), LIMIT, now_ms=NOW)

        assert store.transact(wake) is None

        after = replace(_parked(before), parked=None, attention_ms=NOW)
        assert store.get(before.id) == after
        assert _waiters(store) == []
        assert store.transact(wake) == Conflict(0, after.to_item())
        assert isinstance(store.update(catalogue.claim_locked(after)), Updated)

    @pytest.mark.parametrize(
        "before",
        [
            samples.waiting(),
            samples.waiting(parked="resource#printer"),
            samples.in_state(State.PAUSED),
            samples.in_state(State.CANCELLED),
        ],
        ids=["not parked", "parked elsewhere", "paused", "cancelled"],
    )
    def test_a_waiter_whose_job_does_not_wait_is_cleared_away_and_not_woken(
        self, store: JobStore, before: JobRecord
    ) -> None:
        store.put_new(before)
        _put_waiter(store, before.id)

        wake = store.transact(locks.unpark(before, LIMIT, now_ms=NOW))
        assert wake == Conflict(0, before.to_item())
        assert _waiters(store) == [before.id]

        assert store.transact(locks.clear_waiter(before.id, LIMIT)) is None
        assert _waiters(store) == []
        assert store.get(before.id) == before

    @pytest.mark.parametrize("due_ms", [NOW - LEASE, NOW + LEASE], ids=["long due", "not yet due"])
    def test_a_woken_job_is_due_from_then_on_unless_it_is_later(
        self, store: JobStore, due_ms: int
    ) -> None:
        before = samples.waiting(parked=LIMIT.partition, due_ms=due_ms)
        store.put_new(before)
        _put_waiter(store, before.id)

        assert store.transact(locks.unpark(before, LIMIT, now_ms=NOW)) is None

        woken = store.get(before.id)
        assert woken is not None
        assert woken.due_ms == max(NOW, due_ms)

    def test_a_job_that_was_made_due_later_meanwhile_is_not_woken_for_earlier(
        self, store: JobStore
    ) -> None:
        before = samples.waiting(parked=LIMIT.partition, due_ms=NOW + LEASE)
        store.put_new(before)
        _put_waiter(store, before.id)

        wake = locks.unpark(replace(before, due_ms=NOW), LIMIT, now_ms=NOW)

        assert store.transact(wake) == Conflict(0, before.to_item())

    def test_a_waiter_whose_job_is_gone_is_cleared_away(self, store: JobStore) -> None:
        _put_waiter(store, samples.job_id())

        assert store.transact(locks.clear_waiter(samples.job_id(), LIMIT)) is None
        assert _waiters(store) == []

    def test_a_waiter_whose_job_is_parked_there_stays(self, store: JobStore) -> None:
        before = samples.waiting(parked=LIMIT.partition)
        store.put_new(before)
        _put_waiter(store, before.id)

        conflict = store.transact(locks.clear_waiter(before.id, LIMIT))

        assert conflict == Conflict(1, before.to_item())
        assert _waiters(store) == [before.id]


def _put_waiter(store: JobStore, job_id: str) -> None:
    """Put a waiter in the lock's line."""
    waiter = Put(key=locks.waiter_key(LIMIT, job_id), content={Field.JOB: job_id})
    assert store.transact([waiter]) is None
