"""An example of every change, with a record it applies to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from remotejob.domain import (
    command_changes,
    dependencies,
    given_up,
    lapses,
    locks,
    missed,
    run_changes,
    suspects,
    upkeep_changes,
)
from remotejob.domain.changes import Change
from remotejob.domain.dependencies import Edge
from remotejob.domain.locks import Held, Limit
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.transactions import Key
from remotejob.names import Field
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import LEASE, NOW, OTHER_RUN, RUN, SKEW, TOKEN

ANTECEDENT: Final = samples.job_id(31)
EDGE: Final = Edge(antecedent=ANTECEDENT, dependent=samples.job_id(), token=TOKEN)
LIMIT: Final = Limit("resource#scanner", 1)
SLOT: Final = Key(LIMIT.partition, "lock#000")
HELD: Final = Held(SLOT, samples.job_id(30), RUN)

_READY, _RUNNING, _SILENT = samples.ready(), samples.running(), samples.silent()
_LOST = samples.silent(lost_run=RUN)
_TAKEN_OVER = samples.running(run_id=OTHER_RUN, crashes=1, crashed_runs=frozenset({RUN}))
_WAITING, _FAILED = samples.waiting(), samples.failed()
_PAUSED = samples.in_state(State.PAUSED, due_ms=NOW)
_CANCELLED = samples.in_state(State.CANCELLED, lease_ms=NOW + LEASE)
_ENDED = samples.failed(owed=None, crashes=1, expires_s=NOW // 1000)
_BLOCKED = samples.waiting(blocked=frozenset({ANTECEDENT, "another"}))
_LOCKED = samples.ready(resource="scanner")
_LOCKED_SILENT = samples.silent(resource="scanner")
_TOO_LATE = samples.waiting(start_by_ms=NOW - SKEW - 1)
_FROM_DUE = samples.waiting(start_by_ms=0, start_in_ms=LEASE)
_PARKED = samples.waiting(resource="scanner", parked=LIMIT.partition)


def claim(record: JobRecord = _READY, *, run_id: str = OTHER_RUN, stamp_ms: int = NOW) -> Change:
    return run_changes.claim(
        record.id,
        task=record.task,
        queue=record.queue,
        run_id=run_id,
        worker="w2",
        now_ms=NOW,
        stamp_ms=stamp_ms,
        lease_ms=LEASE,
        skew_ms=SKEW,
    )


def claim_once(record: JobRecord = _READY, *, crashes: int = 0) -> Change:
    """A claim for a task that says how many deaths of its worker a job may survive."""
    return replace(claim(record), set_once={Field.CRASH_LIMIT: crashes})


def claim_of_old_task(record: JobRecord = _READY, *, alone: bool = True) -> Change:
    """A claim for a task whose own retry policy is over."""
    over = Retry(until=datetime(2026, 1, 1, tzinfo=UTC))
    begun = claim(record) if alone else suspects.in_company(claim(record))
    return missed.unless_too_late(begun, over, now_ms=NOW)


def miss(record: JobRecord) -> Change:
    return missed.miss(record, now_ms=NOW, skew_ms=SKEW)


def reclaim(record: JobRecord) -> Change:
    return run_changes.reclaim(
        record, run_id=OTHER_RUN, worker="w2", now_ms=NOW, lease_ms=LEASE, skew_ms=SKEW
    )


def claim_locked(record: JobRecord, *, run_id: str = OTHER_RUN) -> Change:
    return locks.claim_locked(
        record, run_id=run_id, worker="w2", now_ms=NOW, lease_ms=LEASE, skew_ms=SKEW
    )


def parked(record: JobRecord) -> Change:
    """The step that changes the record when a job is parked."""
    change, *_ = locks.park(record, LIMIT, now_ms=NOW, skew_ms=SKEW, look_ms=NOW + 10 * LEASE)
    assert isinstance(change, Change)
    return change


def woken(record: JobRecord) -> Change:
    """The step that changes the record when a parked job is woken."""
    change, _ = locks.unpark(record, LIMIT, now_ms=NOW)
    assert isinstance(change, Change)
    return change


def flagged(antecedent: JobRecord) -> Change:
    """The step that flags an antecedent when a job that depends on it is submitted."""
    _, change = dependencies.edges_to_put("dependent", [antecedent.id], token=TOKEN)
    assert isinstance(change, Change)
    return change


_LATER, _PLAIN, _THOUGH_PAUSED, _ELSEWHERE = dependencies.releases(
    EDGE, now_ms=NOW, due_ms=NOW + LEASE
)

EXAMPLES: Final[dict[str, tuple[JobRecord, Change]]] = {
    "claim": (_READY, claim()),
    "claim, marked": (_WAITING, claim()),
    "claim, locked": (_LOCKED, claim_locked(_LOCKED)),
    "claim, whose task limits crashes": (_READY, claim_once()),
    "claim, whose task's policy is over": (
        samples.ready(retry_json="{}"),
        claim_of_old_task(samples.ready(retry_json="{}")),
    ),
    "claim, whose task's policy is over, in company": (
        samples.ready(retry_json="{}"),
        claim_of_old_task(samples.ready(retry_json="{}"), alone=False),
    ),
    "claim in company": (_READY, suspects.in_company(claim())),
    "claim, whose limit is from its due time": (_FROM_DUE, claim_locked(_FROM_DUE)),
    "miss": (_TOO_LATE, miss(_TOO_LATE)),
    "miss, silent": (
        samples.silent(start_by_ms=NOW - SKEW - 1),
        miss(samples.silent(start_by_ms=NOW - SKEW - 1)),
    ),
    "reclaim": (_SILENT, reclaim(_SILENT)),
    "expire": (_SILENT, run_changes.expire(_SILENT, now_ms=NOW, skew_ms=SKEW)),
    "give up": (
        _WAITING,
        given_up.give_up(_WAITING, why="no worker", now_ms=NOW, skew_ms=SKEW),
    ),
    "sent again": (_READY, given_up.sent_again(_READY, why="no worker", now_ms=NOW)),
    "reclaim, lost": (_LOST, reclaim(_LOST)),
    "lost": (_RUNNING, lapses.lost(_RUNNING.id, RUN)),
    "was no crash": (_TAKEN_OVER, lapses.was_no_crash(_TAKEN_OVER.id, RUN)),
    "park": (_LOCKED, parked(_LOCKED)),
    "park, silent": (_LOCKED_SILENT, parked(_LOCKED_SILENT)),
    "unpark": (_PARKED, woken(_PARKED)),
    "heartbeat": (
        _RUNNING,
        run_changes.heartbeat(_RUNNING, now_ms=NOW, lease_ms=LEASE, report={}, mark_ms=NOW),
    ),
    "complete": (
        _RUNNING,
        run_changes.complete(_RUNNING, now_ms=NOW, retention_ms=LEASE, report={}),
    ),
    "fail for good": (
        _RUNNING,
        run_changes.fail_for_good(_RUNNING, samples.failure(), now_ms=NOW, report={}),
    ),
    "fail and wait": (
        _RUNNING,
        run_changes.fail_and_wait(
            _RUNNING, samples.failure(), now_ms=NOW, due_ms=NOW, mark_ms=NOW, report={}
        ),
    ),
    "release": (_RUNNING, run_changes.release(_RUNNING, now_ms=NOW, report={})),
    "let go of cancelled": (_CANCELLED, run_changes.let_go_of_cancelled(_CANCELLED, run_id=RUN)),
    "move mark": (_WAITING, upkeep_changes.move_mark(_WAITING, to_ms=NOW + LEASE)),
    "settle": (_FAILED, upkeep_changes.settle(_FAILED, retention_ms=LEASE)),
    "swept": (_READY, upkeep_changes.swept(_READY, now_ms=NOW)),
    "pause": (_WAITING, command_changes.pause(_WAITING, now_ms=NOW)),
    "resume": (_PAUSED, command_changes.resume(_PAUSED, now_ms=NOW)),
    "make ready": (_WAITING, command_changes.make_ready(_WAITING, due_ms=NOW + LEASE, now_ms=NOW)),
    "make ready, independent": (
        _BLOCKED,
        command_changes.make_ready(_BLOCKED, due_ms=NOW, now_ms=NOW, independent=True),
    ),
    "cancel": (_RUNNING, command_changes.cancel(_RUNNING, now_ms=NOW)),
    "restart": (
        _ENDED,
        command_changes.restart(
            _ENDED, now_ms=NOW, retry=Retry(max_attempts=2), blocked=frozenset({ANTECEDENT})
        ),
    ),
    "flag an antecedent": (_RUNNING, flagged(_RUNNING)),
    "release a dependent": (_BLOCKED, _PLAIN),
    "release a dependent, due later": (_BLOCKED, _LATER),
    "release a dependent that is paused": (
        replace(_BLOCKED, state=State.PAUSED),
        _THOUGH_PAUSED,
    ),
    "release a dependent that does not wait": (_BLOCKED, _ELSEWHERE),
    "cascade": (_BLOCKED, dependencies.cascade(EDGE, _BLOCKED, why="it failed", now_ms=NOW)),
}
