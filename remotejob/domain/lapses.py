"""How a run whose lease ended is counted: as a crash, or as a lost lease if its worker lives.

Only a worker knows that it lives. It says so under its own run id, before or after another run
takes the job over; until then, its silence counts as a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.changes import EXISTS, NOT_LATER, Change, Condition
from remotejob.domain.claim_decisions import LOST_LEASE_BUDGET, crash_budget
from remotejob.domain.conditions import (
    Absent,
    All,
    AtLeast,
    AtMost,
    Contains,
    Either,
    Is,
    IsNot,
    Item,
    state_is,
)
from remotejob.domain.crash_limits import NOT_AGAIN
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State
from remotejob.names import Field

WORKER_DIED: Final = "WorkerDied"
"""Kind of a failure without an exception: the lease ended, and no worker said that it lives."""

LEASE_LOST: Final = "LeaseLost"
"""Kind of a failure without an exception: workers that live lost the lease too often."""

_SAME_LAPSED_RUN: Final = (
    EXISTS,
    state_is(State.RUNNING),
    Is(Field.RUN, "seen_run"),
    AtMost(Field.LEASE, "lapsed"),
    # the budget was judged by this count, which only falls while the run stays the same
    Either(Absent(Field.CRASHES), AtLeast(Field.CRASHES, "seen_crashes")),
    NOT_LATER,
)

SAME_SILENT_RUN: Final = Condition(
    name="same_silent_run",
    # Two workers find the same dead run, or its heartbeat comes back just in time:
    #     A  runs ── (silent) ────────── heartbeat ✓ or ✗, whichever is first
    #     B                     reclaim ✓ ── runs …
    #     C                     reclaim ✗ (the run is B's now)
    # Or its worker lives and says so after the record was read:
    #     A  runs ── (cut off) ──────────── lost ✓
    #     B                     reads the record ── reclaim ✗ ── reclaim as a lost lease ✓
    expression=All(*_SAME_LAPSED_RUN, IsNot(Field.LOST_RUN, "seen_run")),
)

SAME_LOST_RUN: Final = Condition(
    name="same_lost_run",
    # As above, after its worker said that it lives.
    expression=All(*_SAME_LAPSED_RUN, Is(Field.LOST_RUN, "seen_run")),
)

STILL_OWN_RUN: Final = Condition(
    name="still_own_run",
    # A worker lives, and the job still bears its run id:
    #     A  runs ── (cut off past its lease) ── lost ✓
    #     B                                              reclaim: a lost lease, no crash
    # It gives no lease back: only the claim of another run changes anything else.
    expression=All(EXISTS, state_is(State.RUNNING), Is(Field.RUN, "own_run")),
)

COUNTED_AS_CRASH: Final = Condition(
    name="counted_as_crash",
    # A worker lives, and another run took the job over and counted a crash:
    #     A  runs ── (cut off past its lease) ─────────────── was no crash ✓ ── again ✗
    #     B                                     reclaim ✓ ── runs …
    # It names its own run only, takes it out of those counted, and leaves B's run alone.
    expression=All(EXISTS, Contains(Field.CRASHED_RUNS, "own_run")),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lapse:
    """The part of a change that counts the run whose lease ended."""

    condition: Condition
    values: Item
    add: Mapping[Field, int]
    set: Item = field(default_factory=dict)


def lapse_of(record: JobRecord, *, now_ms: int, skew_ms: int) -> Lapse:
    """How to count the run of a record whose lease has ended."""
    run_id = _run_of(record)
    values: Item = {
        "seen_run": run_id,
        "lapsed": now_ms - skew_ms,
        "seen_crashes": record.crashes,
        "stamp": max(now_ms, record.updated_ms),
    }
    if record.lost:
        return Lapse(condition=SAME_LOST_RUN, values=values, add={Field.LOST_LEASES: 1})
    return Lapse(
        condition=SAME_SILENT_RUN,
        values=values,
        add={Field.CRASHES: 1},
        set={Field.CRASHED_RUNS: (record.crashed_runs or frozenset()) | {run_id}},
    )


def lost(job_id: str, run_id: str) -> Change:
    """Say that the worker of this run lives, though the run's lease has ended."""
    return Change(
        job_id=job_id,
        condition=STILL_OWN_RUN,
        values={"own_run": run_id},
        set={Field.LOST_RUN: run_id},
    )


def was_no_crash(job_id: str, run_id: str) -> Change:
    """Say the same once another run has the job: the counted crash becomes a lost lease."""
    return Change(
        job_id=job_id,
        condition=COUNTED_AS_CRASH,
        values={"own_run": run_id},
        add={Field.CRASHES: -1, Field.LOST_LEASES: 1},
        discard={Field.CRASHED_RUNS: frozenset({run_id})},
    )


def last_lapse(record: JobRecord, *, now_ms: int) -> Failure:
    """Why a job fails whose run, which just lapsed, spends a budget."""
    crashes, lost_leases = record.crashes + (not record.lost), record.lost_leases + record.lost
    if record.at_most_once:
        kind = LEASE_LOST if record.lost else WORKER_DIED
        how = "its worker lost the lease" if record.lost else "its worker died"
        message = f"{how} while it ran, and {NOT_AGAIN}"
    elif record.lost or (crashes < crash_budget(record) and lost_leases >= LOST_LEASE_BUDGET):
        kind = LEASE_LOST
        message = (
            f"the lease of this job ended {_times(lost_leases)} while its worker lived, because no "
            "heartbeat reached DynamoDB in time; check the workers' network, lengthen the lease, "
            "or give a task that blocks its worker its own process (runs_in=Process())"
        )
    else:
        kind = WORKER_DIED
        message = (
            f"the worker died {_times(crashes)} while it ran this job; give tasks that may crash a "
            "worker their own process (runs_in=Process())"
        )
    return Failure(
        run_id=_run_of(record), attempt=record.attempt, at_ms=now_ms, kind=kind, message=message
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _run_of(record: JobRecord) -> str:
    assert record.run_id is not None, f"{record.id} has no run"
    return record.run_id
