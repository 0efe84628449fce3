"""The suite for changes that take a job, or fail one whose worker died."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remotejob.domain import lapses, run_changes
from remotejob.domain.changes import Change
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import State
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import claim, reclaim
from remotejob.testing.conformance.samples import LEASE, NOW, OTHER_RUN, RUN, SECOND, SKEW

_CLAIMABLE = {
    "ready": samples.ready(),
    "waiting and due to the millisecond": samples.waiting(due_ms=NOW),
    "waiting and long due": samples.waiting(due_ms=NOW - LEASE),
    "ready again, a lapsed lease left over": samples.ready(lease_ms=NOW - SKEW, attempt=2),
}
NOT_CLAIMABLE = {
    "waiting and due a millisecond later": samples.waiting(due_ms=NOW + 1),
    "waiting without a time": samples.waiting(due_ms=None),
    "blocked": samples.waiting(blocked=frozenset({"another"})),
    "parked": samples.waiting(parked="resource#scanner"),
    "paused": samples.in_state(State.PAUSED),
    "running under a live lease": samples.running(),
    "running under a lapsed lease": samples.silent(),
    "ready, and a cancelled run still winding down": samples.ready(lease_ms=NOW + LEASE),
    "ready, and a lease within the margin for skew": samples.ready(lease_ms=NOW - SKEW + 1),
    "written by a clock ahead of ours": samples.ready(updated_ms=NOW + 1),
    "completed": samples.in_state(State.COMPLETED),
    "failed": samples.in_state(State.FAILED),
    "cancelled": samples.in_state(State.CANCELLED),
}
_NOT_LAPSED = {
    "a lease within the margin for skew": samples.silent(lease_ms=NOW - SKEW + 1),
    "a live lease": samples.silent(lease_ms=NOW + LEASE),
    "no lease": samples.silent(lease_ms=None),
    "another run since": samples.silent(run_id=OTHER_RUN),
    "released since": samples.ready(run_id=RUN),
    "completed since": samples.in_state(State.COMPLETED),
    "cancelled since": samples.in_state(State.CANCELLED, lease_ms=NOW - SKEW),
}


def _expire(record: JobRecord) -> Change:
    return run_changes.expire(record, now_ms=NOW, skew_ms=SKEW)


def assert_refused(store: JobStore, before: JobRecord, change: Change) -> None:
    """Assert that the record refuses the change and stays as it was."""
    store.put_new(before)
    assert store.update(change) == Refused(before)
    assert store.get(before.id) == before


def assert_applied(store: JobStore, before: JobRecord, change: Change, after: JobRecord) -> None:
    """Assert that the change applies and returns the record with its effect."""
    store.put_new(before)
    assert store.update(change) == Updated(after)
    assert store.get(before.id) == after


class ChangesConformance:
    """Claim, reclaim and expire."""

    @pytest.mark.parametrize("before", _CLAIMABLE.values(), ids=_CLAIMABLE)
    def test_claim_takes_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        after = replace(
            before,
            state=State.RUNNING,
            run_id=OTHER_RUN,
            worker="w2",
            lease_ms=NOW + LEASE,
            started_ms=NOW,
            updated_ms=NOW,
            attempt=before.attempt + 1,
            attention=None,
            attention_ms=None,
        )
        assert_applied(store, before, claim(), after)

    @pytest.mark.parametrize("before", NOT_CLAIMABLE.values(), ids=NOT_CLAIMABLE)
    def test_claim_is_refused_by_a_job_that_is(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(store, before, claim())

    def test_claim_with_the_records_own_time_is_taken(self, store: JobStore) -> None:
        store.put_new(samples.ready(updated_ms=NOW + SECOND))

        outcome = store.update(claim(stamp_ms=NOW + SECOND))

        assert isinstance(outcome, Updated)
        assert outcome.record.updated_ms == outcome.record.started_ms == NOW + SECOND
        assert outcome.record.lease_ms == NOW + LEASE

    def test_claim_sent_twice_is_refused_by_its_own_effect(self, store: JobStore) -> None:
        store.put_new(samples.ready())
        first = store.update(claim())

        again = store.update(claim())

        assert again == Refused(first.record)
        assert again.record is not None
        assert again.record.run_id == OTHER_RUN

    def test_reclaim_takes_over_from_a_silent_worker(self, store: JobStore) -> None:
        before = samples.silent(crashes=1, crashed_runs=frozenset({"c" * 16}))
        after = replace(
            before,
            run_id=OTHER_RUN,
            worker="w2",
            lease_ms=NOW + LEASE,
            started_ms=NOW,
            updated_ms=NOW,
            attempt=2,
            crashes=2,
            crashed_runs=frozenset({"c" * 16, RUN}),
            attention=None,
            attention_ms=None,
        )
        assert_applied(store, before, reclaim(before), after)

    def test_reclaim_never_sets_a_time_stamp_back(self, store: JobStore) -> None:
        before = samples.silent(updated_ms=NOW + SECOND)
        store.put_new(before)

        outcome = store.update(reclaim(before))

        assert isinstance(outcome, Updated)
        assert outcome.record.updated_ms == NOW + SECOND

    @pytest.mark.parametrize("before", _NOT_LAPSED.values(), ids=_NOT_LAPSED)
    def test_reclaim_is_refused_after(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(store, before, reclaim(samples.silent()))

    def test_reclaim_of_one_dead_run_succeeds_once(self, store: JobStore) -> None:
        seen = samples.silent()
        store.put_new(seen)
        first = store.update(reclaim(seen))
        assert isinstance(first, Updated)

        again = run_changes.reclaim(
            seen, run_id="c" * 16, worker="w3", now_ms=NOW, lease_ms=LEASE, skew_ms=SKEW
        )
        assert store.update(again) == Refused(first.record)

    def test_reclaim_counts_no_crash_once_the_worker_said_that_it_lives(
        self, store: JobStore
    ) -> None:
        seen = samples.silent(crashes=1)
        store.put_new(seen)
        said = store.update(lapses.lost(seen.id, RUN))
        assert said == Updated(replace(seen, lost_run=RUN))

        # decided before it said so
        assert store.update(reclaim(seen)) == Refused(said.record)
        outcome = store.update(reclaim(said.record))

        assert isinstance(outcome, Updated)
        assert (outcome.record.crashes, outcome.record.lost_leases) == (1, 1)
        assert outcome.record.run_id == OTHER_RUN

    def test_counted_crash_becomes_a_lost_lease_once_and_leaves_the_new_run_alone(
        self, store: JobStore
    ) -> None:
        seen = samples.silent()
        store.put_new(seen)
        taken_over = store.update(reclaim(seen)).record
        assert taken_over is not None
        assert store.update(lapses.lost(seen.id, RUN)) == Refused(taken_over)

        after = replace(taken_over, crashes=0, lost_leases=1, crashed_runs=None)
        assert store.update(lapses.was_no_crash(seen.id, RUN)) == Updated(after)
        assert store.update(lapses.was_no_crash(seen.id, RUN)) == Refused(after)
        assert store.update(lapses.was_no_crash(seen.id, OTHER_RUN)) == Refused(after)

    def test_no_job_is_failed_by_a_count_of_crashes_that_has_been_put_right(
        self, store: JobStore
    ) -> None:
        seen = samples.silent(crashes=2, crashed_runs=frozenset({"c" * 16, OTHER_RUN}))
        store.put_new(seen)
        right = store.update(lapses.was_no_crash(seen.id, OTHER_RUN)).record

        assert store.update(_expire(seen)) == Refused(right)
        assert store.update(reclaim(seen)) == Refused(right)

    def test_expire_fails_the_job_and_says_why(self, store: JobStore) -> None:
        before = samples.silent(crashes=2, attempt=3)
        died = Failure(
            run_id=RUN,
            attempt=3,
            at_ms=NOW,
            kind="WorkerDied",
            message="the worker died 3 times while it ran this job; give tasks that may crash a "
            "worker their own process (runs_in=Process())",
        )
        after = replace(
            before,
            state=State.FAILED,
            lease_ms=None,
            finished_ms=NOW,
            updated_ms=NOW,
            crashes=3,
            errors_json=errors_to_json((died,)),
            owed="status",
            attention=attention_key(Attention.OWED, before.id),
            attention_ms=NOW,
        )
        assert_applied(store, before, _expire(before), after)

    @pytest.mark.parametrize("before", _NOT_LAPSED.values(), ids=_NOT_LAPSED)
    def test_expire_is_refused_after(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(store, before, _expire(samples.silent()))
