"""What a worker does with the message of a job it could not claim: each row of the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from remotejob.domain.claim_decisions import (
    CLOCK_SKEW,
    CRASH_BUDGET,
    ClaimAgain,
    ClaimLocked,
    Conclude,
    Drop,
    Expire,
    Hide,
    Reclaim,
    Verdict,
    Wait,
    after_refused_claim,
)
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import LEASE, NOW

SKEW = span_ms(CLOCK_SKEW)
LAPSED = NOW - SKEW


def _verdict(record: JobRecord | None) -> Verdict:
    return after_refused_claim(record, now_ms=NOW)


def test_no_record_drops_the_message() -> None:
    assert isinstance(_verdict(None), Drop)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_job_that_has_ended_is_concluded_again(state: State) -> None:
    record = samples.in_state(state)
    assert _verdict(record) == Conclude(record)


def test_a_cancelled_run_still_winding_down_is_concluded() -> None:
    record = samples.in_state(State.CANCELLED, lease_ms=NOW + LEASE)
    assert _verdict(record) == Conclude(record)


def test_a_live_lease_hides_the_message_until_it_would_end() -> None:
    assert _verdict(samples.running(lease_ms=NOW + LEASE)) == Hide(NOW + LEASE + SKEW)


def test_a_lease_within_the_margin_for_skew_is_live() -> None:
    assert _verdict(samples.silent(lease_ms=LAPSED + 1)) == Hide(NOW + 1)


def test_a_lapsed_lease_is_reclaimed() -> None:
    record = samples.silent(lease_ms=LAPSED)
    assert _verdict(record) == Reclaim(record)


def test_a_death_within_the_budget_is_reclaimed() -> None:
    record = samples.silent(lease_ms=LAPSED, crashes=CRASH_BUDGET - 2)
    assert _verdict(record) == Reclaim(record)


def test_the_last_death_of_the_budget_expires_the_job() -> None:
    record = samples.silent(lease_ms=LAPSED, crashes=CRASH_BUDGET - 1)
    assert _verdict(record) == Expire(record)


def test_a_spent_crash_budget_under_a_live_lease_only_hides() -> None:
    record = samples.running(crashes=CRASH_BUDGET)
    assert _verdict(record) == Hide(NOW + LEASE + SKEW)


@pytest.mark.parametrize("state", [State.READY, State.WAITING, State.PAUSED])
def test_a_job_whose_cancelled_run_winds_down_is_hidden(state: State) -> None:
    record = samples.in_state(state, lease_ms=NOW + LEASE)
    assert _verdict(record) == Hide(NOW + LEASE + SKEW)


def test_a_job_not_yet_due_waits_for_its_time() -> None:
    assert _verdict(samples.waiting(due_ms=NOW + 1)) == Wait(NOW + 1)


@pytest.mark.parametrize(
    "record",
    [
        samples.in_state(State.PAUSED),
        samples.waiting(blocked=frozenset({"another"})),
        samples.waiting(blocked=frozenset({"another"}), due_ms=NOW + LEASE),
        samples.waiting(parked="resource#scanner"),
        samples.waiting(parked="resource#scanner", resource="scanner", due_ms=NOW + LEASE),
    ],
    ids=["paused", "blocked", "blocked and not due", "parked", "parked and not due"],
)
def test_every_change_of_it_sends_a_new_message(record: JobRecord) -> None:
    assert isinstance(_verdict(record), Drop)


@pytest.mark.parametrize("record", [samples.ready(), samples.waiting(due_ms=NOW)])
def test_a_runnable_job_is_claimed_again(record: JobRecord) -> None:
    assert _verdict(record) == ClaimAgain(NOW)


def test_a_record_of_a_clock_ahead_is_claimed_with_its_own_time() -> None:
    assert _verdict(samples.ready(updated_ms=NOW + 500)) == ClaimAgain(NOW + 500)


@pytest.mark.parametrize("needed", [{"resource": "scanner"}, {"tenant": "a", "tenant_limit": 1}])
@pytest.mark.parametrize("record", [samples.ready(), samples.waiting(updated_ms=NOW + 500)])
def test_a_runnable_job_that_needs_a_lock_is_claimed_with_it(
    record: JobRecord, needed: dict[str, Any]
) -> None:
    locked = replace(record, **needed)
    assert _verdict(locked) == ClaimLocked(locked)


def test_a_job_that_needs_a_lock_and_is_not_due_waits() -> None:
    assert _verdict(samples.waiting(due_ms=NOW + 1, resource="scanner")) == Wait(NOW + 1)


def test_a_tenant_without_a_limit_needs_no_lock() -> None:
    assert _verdict(samples.ready(tenant="a")) == ClaimAgain(NOW)


@pytest.mark.parametrize("crashes", [0, CRASH_BUDGET - 1])
def test_a_silent_job_that_needs_a_lock_is_reclaimed_or_expired(crashes: int) -> None:
    record = samples.silent(lease_ms=LAPSED, resource="scanner", crashes=crashes)
    assert _verdict(record) == (Reclaim(record) if crashes == 0 else Expire(record))
