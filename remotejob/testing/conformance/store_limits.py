"""The suite for limits: until when a run may begin, and how many crashes a job may survive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.start_limits import FROM_DUE, LIFTED_MS
from remotejob.domain.states import State
from remotejob.domain.suspects import in_company, runs_alone
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import (
    claim,
    claim_locked,
    claim_of_old_task,
    claim_once,
    miss,
)
from remotejob.testing.conformance.samples import LEASE, NOW, SKEW

_OVER = NOW - SKEW - 1
_IN_TIME = {
    "at the last millisecond of its time": samples.ready(start_by_ms=NOW),
    "waiting, its limit lifted": samples.waiting(start_by_ms=LIFTED_MS),
}
_TOO_LATE = {
    "a millisecond too late": samples.ready(start_by_ms=NOW - 1),
    "waiting, and too late": samples.waiting(start_by_ms=NOW - LEASE),
    "limited from its due time": samples.waiting(start_by_ms=FROM_DUE, start_in_ms=LEASE),
}
_MISSED = {
    "ready": samples.ready(start_by_ms=_OVER),
    "waiting": samples.waiting(start_by_ms=_OVER),
    "parked": samples.waiting(start_by_ms=_OVER, parked="resource#scanner", resource="scanner"),
    "ready, a lapsed lease left over": samples.ready(start_by_ms=_OVER, lease_ms=NOW - SKEW),
}
_NOT_MISSED = {
    "claimed since": samples.running(start_by_ms=_OVER),
    "changed since": samples.ready(start_by_ms=_OVER, updated_ms=NOW + 1),
    "blocked": samples.waiting(start_by_ms=_OVER, blocked=frozenset({"another"})),
    "paused": samples.in_state(State.PAUSED, start_by_ms=_OVER),
    "winding down": samples.ready(start_by_ms=_OVER, lease_ms=NOW - SKEW + 1),
    "completed": samples.in_state(State.COMPLETED, start_by_ms=_OVER),
    "failed": samples.in_state(State.FAILED, start_by_ms=_OVER),
    "cancelled": samples.in_state(State.CANCELLED, start_by_ms=_OVER),
}


class LimitsConformance:
    """Claims of jobs that have limits, and the end of those whose time is over."""

    @pytest.mark.parametrize("before", _IN_TIME.values(), ids=_IN_TIME)
    def test_claim_takes_a_limited_job(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)
        assert isinstance(store.update(claim()), Updated)

    @pytest.mark.parametrize("before", _TOO_LATE.values(), ids=_TOO_LATE)
    def test_claim_is_refused_by_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)
        assert store.update(claim()) == Refused(before)

    def test_claim_for_a_task_that_limits_crashes_writes_the_limit(self, store: JobStore) -> None:
        store.put_new(samples.ready())

        outcome = store.update(claim_once(crashes=0))

        assert isinstance(outcome, Updated)
        assert outcome.record.crash_limit == 0

    def test_the_jobs_own_limit_of_crashes_stays(self, store: JobStore) -> None:
        store.put_new(samples.ready(crash_limit=3))

        outcome = store.update(claim_once(crashes=0))

        assert isinstance(outcome, Updated)
        assert outcome.record.crash_limit == 3

    @pytest.mark.parametrize("alone", [True, False], ids=["alone", "in company"])
    def test_claim_for_a_task_whose_policy_is_over_takes_only_jobs_with_their_own(
        self, store: JobStore, *, alone: bool
    ) -> None:
        own = samples.ready(1, retry_json="{}")
        lifted = samples.ready(2, start_by_ms=LIFTED_MS)
        for before in (own, lifted):
            store.put_new(before)
            assert isinstance(store.update(claim_of_old_task(before, alone=alone)), Updated)

        plain = samples.ready(3)
        store.put_new(plain)
        assert store.update(claim_of_old_task(plain, alone=alone)) == Refused(plain)

    @pytest.mark.parametrize(
        ("fields", "refused"),
        [
            ({"crashes": 1}, False),
            ({"crashes": 2}, True),
            ({"crashes": 1, "crash_limit": 5}, True),
            ({"crashes": 0, "crash_limit": 1}, False),
            ({"crash_limit": 0}, False),
        ],
    )
    def test_claim_in_company_is_refused_by_a_job_that_must_run_alone(
        self, store: JobStore, *, fields: dict[str, int], refused: bool
    ) -> None:
        before = samples.ready(**fields)
        store.put_new(before)

        outcome = store.update(in_company(claim()))

        assert isinstance(outcome, Refused) is refused is runs_alone(before)

    def test_claim_as_read_writes_a_limit_that_counts_from_the_due_time(
        self, store: JobStore
    ) -> None:
        before = samples.waiting(start_by_ms=FROM_DUE, start_in_ms=LEASE)
        store.put_new(before)

        outcome = store.update(claim_locked(before))

        assert isinstance(outcome, Updated)
        assert outcome.record.start_by_ms == NOW + LEASE

    @pytest.mark.parametrize("before", _MISSED.values(), ids=_MISSED)
    def test_miss_fails_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        late = Failure(
            run_id="",
            attempt=0,
            at_ms=NOW,
            kind="JobExpired",
            message="no run began in time: its `expires` was 2026-01-15 11:59:57 UTC; restart it "
            "to run it all the same, or submit it with a later limit",
        )
        store.put_new(before)

        outcome = store.update(miss(before))

        assert outcome == Updated(
            replace(
                before,
                state=State.FAILED,
                parked=None,
                lease_ms=None,
                finished_ms=NOW,
                errors_json=errors_to_json((late,)),
                owed="status",
                attention=attention_key(Attention.OWED, before.id),
                attention_ms=NOW,
            )
        )

    def test_miss_keeps_earlier_errors_and_counts_a_run_that_died(self, store: JobStore) -> None:
        before = samples.silent(
            start_by_ms=_OVER, errors_json=errors_to_json((samples.failure(),)), failures=1
        )
        store.put_new(before)

        outcome = store.update(miss(before))

        assert isinstance(outcome, Updated)
        assert [error.kind for error in outcome.record.errors] == ["ValueError", "JobExpired"]
        assert outcome.record.crashes == 1

    @pytest.mark.parametrize("before", _NOT_MISSED.values(), ids=_NOT_MISSED)
    def test_miss_is_refused_by_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        store.put_new(before)
        assert store.update(miss(samples.ready(start_by_ms=_OVER))) == Refused(before)
