"""Locks: which a job needs, and which slot of one it takes."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.domain.locks import Held, Limit, limits_of, slot_key, slot_to_take, waiter_key
from remotejob.domain.transactions import Key
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import LEASE, NOW, OTHER_RUN, RUN, SKEW

LIMIT = Limit("tenant#default#müller", 3)
RECORD = samples.ready(tenant="müller", tenant_limit=3)


def _held(number: int, job: int = 0, *, limit: Limit = LIMIT) -> Held:
    """A slot held by the job of that number."""
    return Held(slot_key(limit, number), samples.job_id(job), RUN)


def _named(*held: Held) -> dict[str, Held]:
    return {one.key.name: one for one in held}


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, []),
        ({"resource": "scanner"}, [Limit("resource#scanner", 1)]),
        ({"tenant": "müller"}, []),
        ({"tenant": "müller", "tenant_limit": 3}, [LIMIT]),
        (
            {"resource": "scanner", "tenant": "müller", "tenant_limit": 3},
            [Limit("resource#scanner", 1), LIMIT],
        ),
    ],
    ids=["nothing", "a resource", "no limit of its tenant", "its tenant's limit", "both"],
)
def test_the_locks_a_job_needs(fields: dict[str, Any], limits: list[Limit]) -> None:
    record = samples.ready(**fields)
    assert list(limits_of(record)) == limits
    assert record.locked is bool(limits)


def test_a_tenants_limit_is_that_of_one_queue() -> None:
    (here,), (there,) = (
        limits_of(samples.ready(queue=queue, tenant="a", tenant_limit=1)) for queue in ("x", "y")
    )
    assert here.partition != there.partition


def test_a_free_lock_is_taken() -> None:
    taken = slot_to_take(Limit(LIMIT.partition, 1), {}, RECORD)
    assert taken == (Key(LIMIT.partition, "lock#000"), None)


def test_the_free_slot_is_taken() -> None:
    held = [_held(0, 1), _held(2, 2)]
    assert slot_to_take(LIMIT, _named(*held), RECORD) == (slot_key(LIMIT, 1), None)


def test_jobs_do_not_all_begin_at_the_same_slot() -> None:
    wide = Limit(LIMIT.partition, 50)
    taken = {slot_to_take(wide, {}, samples.ready(number)) for number in range(20)}
    assert len(taken) > 10


def test_its_own_slot_is_taken_before_a_free_one() -> None:
    own = _held(2, 0)
    assert slot_to_take(LIMIT, _named(_held(0, 1), own), RECORD) == (own.key, own)


def test_of_slots_all_held_none_is_taken() -> None:
    held = [_held(number, number + 1) for number in range(3)]
    assert slot_to_take(LIMIT, _named(*held), RECORD) is None


def test_a_slot_beyond_a_limit_that_was_lowered_is_not_taken() -> None:
    lowered = Limit(LIMIT.partition, 1)
    held = _named(_held(0, 1), _held(2, 2))
    assert slot_to_take(lowered, held, RECORD) is None


def test_a_lock_is_read_back_as_it_was_taken() -> None:
    held = _held(1, 7)
    item = {"j_job": held.job_id, "j_run": held.run_id, "pk": "p", "sk": "s"}
    assert Held.of(LIMIT, held.key.name, item) == held


def test_slots_and_waiters_sort_apart_and_in_order() -> None:
    slots = [slot_key(LIMIT, number).name for number in (0, 9, 10, 999)]
    waiters = [waiter_key(LIMIT, samples.job_id(number)).name for number in (1, 2, 30)]
    assert sorted([*slots, *waiters]) == [*slots, *waiters]


@pytest.mark.parametrize(
    ("lease_ms", "live"),
    [(None, False), (NOW - SKEW, False), (NOW - SKEW + 1, True), (NOW + LEASE, True)],
)
def test_a_run_is_live_until_its_lease_has_lapsed_by_the_margin(
    lease_ms: int | None, *, live: bool
) -> None:
    record = samples.running(lease_ms=lease_ms)
    assert record.live(RUN, NOW, skew_ms=SKEW) is live
    assert not record.live(OTHER_RUN, NOW, skew_ms=SKEW)
