"""Every change a job's record can undergo, with the condition that guards it.

A change is data: the stores carry it out and know nothing of jobs. Each condition has a name and
says which crash or race it answers. In the time lines, A and B are workers, S is the scheduler, M
a manager; time runs to the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from remotejob.domain.conditions import (
    Absent,
    All,
    AtLeast,
    AtMost,
    Either,
    Expression,
    Is,
    Item,
    Present,
    Value,
    state_is,
)
from remotejob.domain.marks import MARK, Attention, mark
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import Command, State, sources_of
from remotejob.names import Field

Fields = tuple[Field, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A named expression."""

    name: str
    expression: Expression


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An update of one record, refused unless its condition holds."""

    job_id: str
    condition: Condition
    values: Item
    """What the condition compares with, by name."""
    set: Item = field(default_factory=dict)
    add: Mapping[Field, int] = field(default_factory=dict)
    discard: Mapping[Field, frozenset[str]] = field(default_factory=dict)
    """Members taken out of sets."""
    remove: tuple[Field, ...] = ()


EXISTS: Final = Present(Field.PK)
"""In every condition: DynamoDB's update makes an item that is not there.

    M  remove ─────────▶ (nothing left)
    A  heartbeat ─────────────────────▶ would make a ghost: an item with a lease and no job
"""

UNHINDERED: Final = (Absent(Field.BLOCKED), Absent(Field.PARKED))
"""A waiting job waits for its time alone."""

CLAIM: Final = Condition(
    name="claim",
    # Two messages of one job, or one delivered twice:
    #     A  receive ── claim ✓ ── runs …
    #     B  receive ───────── claim ✗ (running, lease live) ── hides its message
    # A cancelled run still winding down while the job is restarted (cancel leaves the lease):
    #     A  runs ─────────────────── heartbeat: stop ── clears the lease
    #     M     cancel ── restart
    #     B                 claim ✗ (lease live) ── hides ──────────────── claim ✓
    # A clock behind the record's last writer would set its time stamps back: it is refused, and
    # claims again with the record's own time.
    expression=All(
        EXISTS,
        Either(
            state_is(State.READY),
            All(state_is(State.WAITING), AtMost(Field.DUE, "now"), *UNHINDERED),
        ),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        AtMost(Field.UPDATED, "stamp"),
        # one that needs a lock is claimed together with it (see `domain.locks`)
        Absent(Field.RESOURCE),
        Absent(Field.TENANT_LIMIT),
    ),
)

SAME_LAPSED_RUN: Final = Condition(
    name="same_lapsed_run",
    # Two workers find the same dead run, or its heartbeat comes back just in time:
    #     A  runs ── (silent) ────────── heartbeat ✓ or ✗, whichever is first
    #     B                     reclaim ✓ ── runs …
    #     C                     reclaim ✗ (the run is B's now)
    expression=All(
        EXISTS,
        state_is(State.RUNNING),
        Is(Field.RUN, "seen_run"),
        AtMost(Field.LEASE, "lapsed"),
    ),
)

OWN_LIVE_RUN: Final = Condition(
    name="own_live_run",
    # A lost lease is never revived: somebody may be reading it as lapsed at this moment.
    #     A  runs ── (silent past its lease) ── heartbeat ✗ ── stops
    #     B                                       claim ✓
    expression=All(
        EXISTS,
        state_is(State.RUNNING),
        Is(Field.RUN, "run"),
        AtLeast(Field.LEASE, "now"),
    ),
)

OWN_RUN: Final = Condition(
    name="own_run",
    # The fencing token: an outcome counts only under the run id of the current claim.
    #     A  runs ── (stalls) ──────────────────────────── complete ✗
    #     B               claim ✓ ── runs ── complete ✓
    # The answer to a commit can be lost, and the commit be sent again: then it is refused by its
    # own effect, and the run id that stays in the record says so.
    expression=All(EXISTS, state_is(*sources_of(Command.COMPLETE)), Is(Field.RUN, "run")),
)

CANCELLED_RUN: Final = Condition(
    name="cancelled_run",
    # Only the holder clears the lease of a cancelled run, so that a restart cannot overlap it.
    # Restarted meanwhile, the job waits for that alone:
    #     A  runs ─────────────────── heartbeat: stop ── clears the lease
    #     M     cancel ── restart (── pause)
    #     B                                                        claim ✓
    expression=All(
        EXISTS,
        state_is(State.CANCELLED, State.WAITING, State.PAUSED),
        Is(Field.RUN, "run"),
    ),
)

SAME_MARK: Final = Condition(
    name="same_mark",
    # The mark moves only if nothing moved it since it was read:
    #     S  reads mark ── sends ──────────── moves it ✗ (the job is claimed, its mark is gone)
    #     A                        claim ✓
    expression=All(EXISTS, Is(Field.ATTENTION, "seen_kind"), Is(Field.ATTENTION_AT, "seen_at")),
)

OWED_BY_RUN: Final = Condition(
    name="owed_by_run",
    # Two carry out the consequences of one end; the later must not clear what a new end owes.
    #     A  fails (owes) ── status sent ─────────────────────── settle ✗
    #     S                    status sent ── settle ✓
    #     M                                       restart …
    expression=All(EXISTS, Is(Field.OWED, "owed"), Is(Field.FINISHED, "finished")),
)

UNCHANGED: Final = Condition(
    name="unchanged",
    # The sweep marks what it sent for, unless the job went on meanwhile.
    expression=All(EXISTS, Is(Field.UPDATED, "seen_updated")),
)


OWED_STATUS: Final = "status"
"""What an end owes: the status message, and whatever else follows from it."""


WORKER_DIED: Final = "WorkerDied"
"""Kind of a failure where no exception was raised: the lease ended."""


def claim(
    job_id: str,
    *,
    run_id: str,
    worker: str,
    now_ms: int,
    stamp_ms: int,
    lease_ms: int,
    skew_ms: int,
) -> Change:
    """Take a runnable job for one run. `stamp_ms` is `now_ms`, or later if the record is."""
    return Change(
        job_id=job_id,
        condition=CLAIM,
        values={"now": now_ms, "lapsed": now_ms - skew_ms, "stamp": stamp_ms},
        set=_run_begins(run_id, worker, stamp_ms, now_ms + lease_ms),
        add={Field.ATTEMPT: 1},
        remove=MARK,
    )


def reclaim(
    record: JobRecord, *, run_id: str, worker: str, now_ms: int, lease_ms: int, skew_ms: int
) -> Change:
    """Take a job whose worker fell silent; the lapsed lease counts as a crash."""
    return Change(
        job_id=record.id,
        condition=SAME_LAPSED_RUN,
        values={"seen_run": _run_of(record), "lapsed": now_ms - skew_ms},
        set=_run_begins(run_id, worker, max(now_ms, record.updated_ms), now_ms + lease_ms),
        add={Field.ATTEMPT: 1, Field.CRASHES: 1},
        remove=MARK,
    )


def heartbeat(
    record: JobRecord,
    *,
    now_ms: int,
    lease_ms: int,
    report: Item,
    mark_ms: int | None,
    remove: Fields = (),
) -> Change:
    """Extend the lease and write what the run reports.

    `mark_ms` is given at the first heartbeat alone: later ones leave the index key in peace.
    `remove` is what the report takes the place of.
    """
    marked = {} if mark_ms is None else mark(Attention.RUNNING, record.id, mark_ms)
    return Change(
        job_id=record.id,
        condition=OWN_LIVE_RUN,
        values={"run": _run_of(record), "now": now_ms},
        set={
            Field.LEASE: now_ms + lease_ms,
            Field.UPDATED: max(now_ms, record.updated_ms),
            **report,
            **marked,
        },
        remove=remove,
    )


def complete(
    record: JobRecord,
    *,
    now_ms: int,
    retention_ms: int,
    report: Item,
    remove: Fields = (),
) -> Change:
    """The run's outcome is the job's. `report` holds the result, outputs and last log lines;
    `remove` is what nobody needs any more."""
    finished = max(now_ms, record.updated_ms)
    completed: dict[str, Value] = {
        Field.STATE: State.COMPLETED,
        Field.FINISHED: finished,
        Field.UPDATED: finished,
        **report,
    }
    if record.batch is not None:
        # its batch waits for it to be counted: a promise that must outlive the message
        owed = {Field.OWED: OWED_STATUS, **mark(Attention.OWED, record.id, finished)}
        return _own_run_ends(record, {**completed, **owed}, remove=(Field.LEASE, *remove))
    completed[Field.EXPIRES] = (finished + retention_ms) // 1000
    return _own_run_ends(record, completed, remove=(Field.LEASE, *MARK, *remove))


def fail_for_good(record: JobRecord, failure: Failure, *, now_ms: int, report: Item) -> Change:
    """No attempt is left, or none would help."""
    finished = max(now_ms, record.updated_ms)
    return _own_run_ends(
        record,
        {**_ended_failed(record, failure, finished), **report},
        add={Field.FAILURES: 1},
        remove=(Field.LEASE,),
    )


def fail_and_wait(
    record: JobRecord, failure: Failure, *, now_ms: int, due_ms: int, mark_ms: int, report: Item
) -> Change:
    """Try again at `due_ms`; the scheduler looks after it at `mark_ms`."""
    return _own_run_ends(
        record,
        {
            Field.STATE: State.WAITING,
            Field.DUE: due_ms,
            Field.UPDATED: max(now_ms, record.updated_ms),
            Field.ERRORS: errors_to_json((*record.errors, failure)),
            **mark(Attention.WAITING, record.id, mark_ms),
            **report,
        },
        add={Field.FAILURES: 1},
        remove=(Field.LEASE,),
    )


def release(record: JobRecord, *, now_ms: int, report: Item) -> Change:
    """Give the job back; the attempt is taken off the count."""
    return _own_run_ends(
        record,
        {Field.STATE: State.READY, Field.UPDATED: max(now_ms, record.updated_ms), **report},
        add={Field.RELEASES: 1, Field.ATTEMPT: -1},
        remove=(Field.LEASE, *MARK),
    )


def expire(record: JobRecord, *, now_ms: int, skew_ms: int) -> Change:
    """Fail a job whose workers died too often; the last death counts."""
    crashes = record.crashes + 1
    times = "once" if crashes == 1 else f"{crashes} times"
    failure = Failure(
        run_id=_run_of(record),
        attempt=record.attempt,
        at_ms=now_ms,
        kind=WORKER_DIED,
        message=f"the worker died {times} while it ran this job; give tasks that may take a "
        "worker down a process of their own (runs_in=Process())",
    )
    return Change(
        job_id=record.id,
        condition=SAME_LAPSED_RUN,
        values={"seen_run": _run_of(record), "lapsed": now_ms - skew_ms},
        set=_ended_failed(record, failure, max(now_ms, record.updated_ms)),
        add={Field.CRASHES: 1},
        remove=(Field.LEASE,),
    )


def let_go_of_cancelled(record: JobRecord, *, run_id: str) -> Change:
    """The holder of a cancelled run has stopped."""
    return Change(
        job_id=record.id, condition=CANCELLED_RUN, values={"run": run_id}, remove=(Field.LEASE,)
    )


def move_mark(record: JobRecord, *, to_ms: int) -> Change:
    """Look at the record again at `to_ms`."""
    assert record.attention is not None
    assert record.attention_ms is not None
    return Change(
        job_id=record.id,
        condition=SAME_MARK,
        values={"seen_kind": record.attention, "seen_at": record.attention_ms},
        set={Field.ATTENTION_AT: to_ms},
    )


def settle(record: JobRecord, *, retention_ms: int) -> Change:
    """Nothing is owed any more: the record may expire."""
    assert record.owed is not None
    assert record.finished_ms is not None
    expires: dict[str, Value] = {Field.EXPIRES: (record.finished_ms + retention_ms) // 1000}
    kind = _found_later(record)
    listed = {} if kind is None else mark(kind, record.id, record.finished_ms)
    return Change(
        job_id=record.id,
        condition=OWED_BY_RUN,
        values={"owed": record.owed, "finished": record.finished_ms},
        set={**expires, **listed},
        remove=(Field.OWED, *MARK) if kind is None else (Field.OWED,),
    )


def _found_later(record: JobRecord) -> str | None:
    """Under which kind of mark a job that has ended is to be found."""
    if record.state is State.FAILED:
        return Attention.FAILED
    kept = record.state is State.CANCELLED and record.checkpoint_ref is not None
    return Attention.KEPT if kept else None


def swept(
    record: JobRecord, *, now_ms: int, report: Item = MappingProxyType({}), remove: Fields = ()
) -> Change:
    """The sweep has seen to it, as it does once a day, and says what it takes away."""
    return Change(
        job_id=record.id,
        condition=UNCHANGED,
        values={"seen_updated": record.updated_ms},
        set={Field.SWEPT: now_ms, **report},
        remove=remove,
    )


def _run_begins(run_id: str, worker: str, stamp_ms: int, lease_until_ms: int) -> dict[str, Value]:
    return {
        Field.STATE: State.RUNNING,
        Field.RUN: run_id,
        Field.WORKER: worker,
        Field.LEASE: lease_until_ms,
        Field.STARTED: stamp_ms,
        Field.UPDATED: stamp_ms,
    }


def _ended_failed(record: JobRecord, failure: Failure, finished_ms: int) -> dict[str, Value]:
    return {
        Field.STATE: State.FAILED,
        Field.FINISHED: finished_ms,
        Field.UPDATED: finished_ms,
        Field.ERRORS: errors_to_json((*record.errors, failure)),
        Field.OWED: OWED_STATUS,
        **mark(Attention.OWED, record.id, finished_ms),
    }


def _own_run_ends(
    record: JobRecord,
    to_set: Item,
    *,
    remove: tuple[Field, ...],
    add: Mapping[Field, int] | None = None,
) -> Change:
    return Change(
        job_id=record.id,
        condition=OWN_RUN,
        values={"run": _run_of(record)},
        set=to_set,
        add=add or {},
        remove=remove,
    )


def _run_of(record: JobRecord) -> str:
    assert record.run_id is not None, f"{record.id} has no run"
    return record.run_id
