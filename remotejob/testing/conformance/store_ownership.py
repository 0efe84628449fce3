"""The suite for changes after a claim, which need the run, mark or end they were made for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from remotejob.domain import run_changes, upkeep_changes
from remotejob.domain.changes import Change
from remotejob.domain.conditions import Item
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord, errors_to_json
from remotejob.domain.states import State
from remotejob.names import Field
from remotejob.ports import JobStore, Refused
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import LEASE, NOW, OTHER_RUN, RETENTION, RUN, SECOND
from remotejob.testing.conformance.store_changes import assert_applied, assert_refused

_RUNNING = samples.running()
_MARK: Final[dict[str, Any]] = {
    "attention": attention_key(Attention.RUNNING, samples.job_id()),
    "attention_ms": NOW + LEASE,
}
_LATER = NOW + SECOND
_LOG = '[[0,1,"info","x"]]'
_REPORT: Final[Item] = {Field.PROGRESS: "[1,2]", Field.LOG: _LOG, Field.LOG_COUNT: 1}
_REPORTED: Final[dict[str, Any]] = {
    "progress_json": "[1,2]",
    "log_json": _LOG,
    "log_count": 1,
}

_NOT_OURS = {
    "another run": samples.running(run_id=OTHER_RUN),
    "ready": samples.ready(run_id=RUN),
    "waiting": samples.waiting(run_id=RUN),
    "paused": samples.in_state(State.PAUSED, run_id=RUN),
    "completed": samples.in_state(State.COMPLETED),
    "failed": samples.in_state(State.FAILED),
    "cancelled": samples.in_state(State.CANCELLED, lease_ms=NOW + LEASE),
}
_OUTCOMES = {
    "complete": run_changes.complete(
        _RUNNING, now_ms=_LATER, retention_ms=RETENTION, report=_REPORT
    ),
    "fail for good": run_changes.fail_for_good(
        _RUNNING, samples.failure(), now_ms=_LATER, report=_REPORT
    ),
    "fail and wait": run_changes.fail_and_wait(
        _RUNNING,
        samples.failure(),
        now_ms=_LATER,
        due_ms=NOW + LEASE,
        mark_ms=NOW + 2 * LEASE,
        report=_REPORT,
    ),
    "release": run_changes.release(_RUNNING, now_ms=_LATER, report=_REPORT),
}
_ENDED = {
    "complete": replace(
        _RUNNING,
        state=State.COMPLETED,
        lease_ms=None,
        finished_ms=_LATER,
        updated_ms=_LATER,
        expires_s=(_LATER + RETENTION) // 1000,
        **_REPORTED,
    ),
    "fail for good": replace(
        _RUNNING,
        state=State.FAILED,
        lease_ms=None,
        finished_ms=_LATER,
        updated_ms=_LATER,
        failures=1,
        errors_json=errors_to_json((samples.failure(),)),
        owed="status",
        attention=attention_key(Attention.OWED, _RUNNING.id),
        attention_ms=_LATER,
        **_REPORTED,
    ),
    "fail and wait": replace(
        _RUNNING,
        state=State.WAITING,
        lease_ms=None,
        due_ms=NOW + LEASE,
        updated_ms=_LATER,
        failures=1,
        errors_json=errors_to_json((samples.failure(),)),
        attention=attention_key(Attention.WAITING, _RUNNING.id),
        attention_ms=NOW + 2 * LEASE,
        **_REPORTED,
    ),
    "release": replace(
        _RUNNING,
        state=State.READY,
        lease_ms=None,
        updated_ms=_LATER,
        attempt=0,
        releases=1,
        **_REPORTED,
    ),
}


def _heartbeat(*, mark_ms: int | None = None) -> Change:
    return run_changes.heartbeat(
        _RUNNING, now_ms=_LATER, lease_ms=LEASE, report=_REPORT, mark_ms=mark_ms
    )


class OwnershipConformance:
    """A change made for a run, mark or end that has passed is refused."""

    def test_heartbeat_extends_the_lease_and_reports(self, store: JobStore) -> None:
        after = replace(_RUNNING, lease_ms=_LATER + LEASE, updated_ms=_LATER, **_REPORTED)
        assert_applied(store, _RUNNING, _heartbeat(), after)

    def test_heartbeat_puts_one_thing_in_the_place_of_another(self, store: JobStore) -> None:
        before = replace(_RUNNING, checkpoint_ref=f"{OTHER_RUN}/1")
        report: Item = {Field.CHECKPOINT: '{"page":7}'}
        change = run_changes.heartbeat(
            before,
            now_ms=_LATER,
            lease_ms=LEASE,
            report=report,
            mark_ms=None,
            remove=(Field.CHECKPOINT_REF,),
        )
        after = replace(
            before,
            lease_ms=_LATER + LEASE,
            updated_ms=_LATER,
            checkpoint_ref=None,
            checkpoint_json='{"page":7}',
        )
        assert_applied(store, before, change, after)

    def test_completed_job_keeps_no_checkpoint(self, store: JobStore) -> None:
        before = replace(_RUNNING, checkpoint_json="7")
        change = run_changes.complete(
            before,
            now_ms=_LATER,
            retention_ms=RETENTION,
            report=_REPORT,
            remove=(Field.CHECKPOINT, Field.CHECKPOINT_REF),
        )
        assert_applied(store, before, change, _ENDED["complete"])

    @pytest.mark.parametrize("name", ["fail for good", "fail and wait", "release"])
    def test_every_other_end_of_a_run_keeps_its_checkpoint(
        self, store: JobStore, name: str
    ) -> None:
        kept: dict[str, Any] = {"checkpoint_json": "7", "checkpoint_ref": f"{RUN}/0"}
        after = replace(_ENDED[name], **kept)
        assert_applied(store, replace(_RUNNING, **kept), _OUTCOMES[name], after)

    def test_first_heartbeat_marks_the_record(self, store: JobStore) -> None:
        after = replace(_RUNNING, lease_ms=_LATER + LEASE, updated_ms=_LATER, **_REPORTED, **_MARK)
        assert_applied(store, _RUNNING, _heartbeat(mark_ms=NOW + LEASE), after)

    def test_later_heartbeats_leave_the_mark(self, store: JobStore) -> None:
        before = replace(_RUNNING, **_MARK)
        after = replace(before, lease_ms=_LATER + LEASE, updated_ms=_LATER, **_REPORTED)
        assert_applied(store, before, _heartbeat(), after)

    def test_heartbeat_at_the_last_millisecond_of_the_lease_is_taken(self, store: JobStore) -> None:
        before = samples.running(lease_ms=_LATER)
        after = replace(before, lease_ms=_LATER + LEASE, updated_ms=_LATER, **_REPORTED)
        assert_applied(store, before, _heartbeat(), after)

    def test_heartbeat_never_revives_a_lapsed_lease(self, store: JobStore) -> None:
        assert_refused(store, samples.running(lease_ms=_LATER - 1), _heartbeat())

    @pytest.mark.parametrize("before", _NOT_OURS.values(), ids=_NOT_OURS)
    def test_heartbeat_is_refused_by(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(store, before, _heartbeat(mark_ms=NOW))

    @pytest.mark.parametrize("name", _OUTCOMES)
    def test_outcome_of_our_run(self, store: JobStore, name: str) -> None:
        assert_applied(store, _RUNNING, _OUTCOMES[name], _ENDED[name])

    @pytest.mark.parametrize("name", ["complete", "release"])
    def test_outcome_takes_the_mark_of_a_running_job_away(self, store: JobStore, name: str) -> None:
        assert_applied(store, replace(_RUNNING, **_MARK), _OUTCOMES[name], _ENDED[name])

    @pytest.mark.parametrize("name", _OUTCOMES)
    def test_outcome_counts_under_a_lapsed_lease_nobody_took(
        self, store: JobStore, name: str
    ) -> None:
        before = replace(_RUNNING, lease_ms=NOW - LEASE)
        assert_applied(store, before, _OUTCOMES[name], _ENDED[name])

    @pytest.mark.parametrize("before", _NOT_OURS.values(), ids=_NOT_OURS)
    @pytest.mark.parametrize("change", _OUTCOMES.values(), ids=_OUTCOMES)
    def test_outcome_is_refused_by(
        self, store: JobStore, change: Change, before: JobRecord
    ) -> None:
        assert_refused(store, before, change)

    @pytest.mark.parametrize("name", _OUTCOMES)
    def test_outcome_sent_twice_is_refused_and_tells_our_run(
        self, store: JobStore, name: str
    ) -> None:
        store.put_new(_RUNNING)
        store.update(_OUTCOMES[name])

        again = store.update(_OUTCOMES[name])

        assert again == Refused(_ENDED[name])
        assert _ENDED[name].run_id == RUN

    @pytest.mark.parametrize("since", [State.CANCELLED, State.WAITING, State.PAUSED])
    def test_let_go_clears_the_lease_of_the_cancelled_run(
        self, store: JobStore, since: State
    ) -> None:
        before = samples.in_state(since, lease_ms=NOW + LEASE, run_id=RUN)
        change = run_changes.let_go_of_cancelled(before, run_id=RUN)
        assert_applied(store, before, change, replace(before, lease_ms=None))

    @pytest.mark.parametrize(
        "before",
        [
            samples.in_state(State.CANCELLED, lease_ms=NOW + LEASE, run_id=OTHER_RUN),
            samples.running(),
            samples.waiting(run_id=OTHER_RUN, lease_ms=NOW + LEASE),
            samples.in_state(State.COMPLETED),
        ],
        ids=["another run", "running", "another run's restart", "completed"],
    )
    def test_let_go_is_refused_by(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(store, before, run_changes.let_go_of_cancelled(_RUNNING, run_id=RUN))

    def test_move_mark_moves_nothing_else(self, store: JobStore) -> None:
        before = samples.waiting()
        change = upkeep_changes.move_mark(before, to_ms=NOW + LEASE)
        assert_applied(store, before, change, replace(before, attention_ms=NOW + LEASE))

    @pytest.mark.parametrize(
        "before",
        [
            samples.running(),
            samples.waiting(attention_ms=NOW + 1),
            samples.running(
                attention=attention_key(Attention.RUNNING, samples.job_id()),
                attention_ms=NOW + SECOND,
            ),
        ],
        ids=["its mark is gone", "moved since", "of another kind"],
    )
    def test_move_mark_is_refused_when(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(
            store, before, upkeep_changes.move_mark(samples.waiting(), to_ms=NOW + LEASE)
        )

    def test_settle_of_a_failed_job_leaves_it_listed_as_failed(self, store: JobStore) -> None:
        before = samples.failed()
        after = replace(
            before,
            owed=None,
            expires_s=(NOW + RETENTION) // 1000,
            attention=attention_key(Attention.FAILED, before.id),
            attention_ms=NOW,
        )
        assert_applied(store, before, upkeep_changes.settle(before, retention_ms=RETENTION), after)

    def test_settle_of_a_cancelled_job_takes_its_mark_away(self, store: JobStore) -> None:
        before = samples.failed(state=State.CANCELLED)
        after = replace(
            before,
            owed=None,
            expires_s=(NOW + RETENTION) // 1000,
            attention=None,
            attention_ms=None,
        )
        assert_applied(store, before, upkeep_changes.settle(before, retention_ms=RETENTION), after)

    @pytest.mark.parametrize(
        "before",
        [
            samples.failed(owed=None),
            samples.failed(finished_ms=NOW + 1),
            samples.failed(owed="status dependents"),
            samples.waiting(),
        ],
        ids=["settled already", "another end since", "something else owed", "restarted"],
    )
    def test_settle_is_refused_by(self, store: JobStore, before: JobRecord) -> None:
        assert_refused(
            store, before, upkeep_changes.settle(samples.failed(), retention_ms=RETENTION)
        )

    def test_swept_notes_the_time_and_nothing_else(self, store: JobStore) -> None:
        before = samples.ready()
        assert_applied(
            store,
            before,
            upkeep_changes.swept(before, now_ms=_LATER),
            replace(before, swept_ms=_LATER),
        )

    def test_swept_is_refused_by_a_job_that_went_on(self, store: JobStore) -> None:
        before = samples.ready(updated_ms=NOW + 1)
        assert_refused(store, before, upkeep_changes.swept(samples.ready(), now_ms=_LATER))
