"""The changes that commands make: pause, resume, make ready, cancel, restart, remove.

A manager holds no message of the job, so it writes a mark in the same update and sends a message
after that. If it crashes in between, the scheduler finds the mark. `token` identifies one command,
whose answer may be lost.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.batches import is_batch_id
from remotejob.domain.changes import NOT_LATER, OWED_STATUS, Change, Condition, later
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.conditions import (
    Absent,
    All,
    AtMost,
    Either,
    Expression,
    Is,
    Present,
    Value,
    state_is,
)
from remotejob.domain.marks import Attention, mark
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.start_limits import limit_of_restarted, limit_to_write, limit_when_due
from remotejob.domain.states import Command, State, sources_of
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import ABSENT, SAME_TOKEN, Put, record_key
from remotejob.names import Field


def _allowed(command: Command, *guards: Expression) -> Condition:
    # Two managers, or a manager and a worker, with records read a while ago:
    #     M  reads (ready) ──────────── pause ✗ (running), reads again, reports it
    #     A               claim ✓ ── runs …
    # The stamp works as in a claim: a manager's clock may lag behind the record's last writer.
    return Condition(
        name=command.value,
        expression=All(
            Present(Field.PK),
            state_is(*sources_of(command)),
            NOT_LATER,
            *guards,
        ),
    )


PAUSE: Final = _allowed(Command.PAUSE)
RESUME: Final = _allowed(Command.RESUME)
MAKE_READY: Final = _allowed(Command.MAKE_READY)
CANCEL: Final = _allowed(Command.CANCEL)
REMOVE: Final = Condition(
    name=Command.REMOVE.value,
    # A cancelled run that is still winding down would have no record left to stop it:
    #     A  runs ─────────────────── heartbeat: stop ── clears the lease
    #     M     cancel ── remove ✗ (its lease is live) ─────────────────── remove ✓
    expression=All(
        Present(Field.PK),
        state_is(*sources_of(Command.REMOVE)),
        Absent(Field.OWED),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        Is(Field.UPDATED, "seen_updated"),
    ),
)
RESTART: Final = _allowed(
    Command.RESTART,
    # The consequences of the end come first:
    #     A  fails (owes) ── (dies)
    #     M                          restart ✗ ──────────────────── restart ✓
    #     S                                     notifies, settles
    Absent(Field.OWED),
)


def pause(record: JobRecord, *, now_ms: int, token: str | None = None) -> Change:
    """Keep a job from starting. Its due time does not change."""
    stamp = later(now_ms, record)
    return Change(
        job_id=record.id,
        condition=PAUSE,
        values={"stamp": stamp},
        set={
            Field.STATE: State.PAUSED,
            Field.UPDATED: stamp,
            **_given(token),
            **mark(Attention.PAUSED, record.id, stamp),
        },
        # once resumed, it tries again to take the lock it was parked for
        remove=(Field.PARKED,),
    )


def resume(record: JobRecord, *, now_ms: int, token: str | None = None) -> Change:
    """Let a paused job run, no earlier than its due time; the limit of its start stays the same."""
    due_ms = max(now_ms, record.due_ms or now_ms)
    limit_ms = limit_to_write(record)
    limited: dict[str, Value] = {} if limit_ms is None else {Field.START_BY: limit_ms}
    return Change(
        job_id=record.id,
        condition=RESUME,
        values={"stamp": later(now_ms, record)},
        set={**_waits(record, due_ms=due_ms, now_ms=now_ms), **limited, **_given(token)},
    )


def make_ready(
    record: JobRecord,
    *,
    due_ms: int,
    now_ms: int,
    independent: bool = False,
    token: str | None = None,
) -> Change:
    """Give a waiting job another due time; `independent` also drops its dependencies on jobs.

    A batch's follower still waits for the batch.
    """
    blocked = record.blocked or frozenset()
    jobs = frozenset(one for one in blocked if not is_batch_id(one))
    limit_ms = limit_when_due(record, due_ms)
    limited: dict[str, Value] = {} if limit_ms is None else {Field.START_BY: limit_ms}
    return Change(
        job_id=record.id,
        condition=MAKE_READY,
        values={"stamp": later(now_ms, record)},
        set={**_waits(record, due_ms=due_ms, now_ms=now_ms), **limited, **_given(token)},
        discard={Field.BLOCKED: jobs} if independent and jobs else {},
        remove=(Field.DEPENDS, Field.LINKING) if independent else (),
    )


def restart(
    record: JobRecord,
    *,
    now_ms: int,
    retry: Retry | None = None,
    blocked: frozenset[str] | None = None,
    linking: str | None = None,
    token: str | None = None,
) -> Change:
    """Run a failed or cancelled job again: its attempts, crashes and progress start from nothing.

    A limit of when it may begin is lifted if it is over. `retry` replaces the retry policy;
    `blocked` holds the ids it has to wait for, and `linking` the token of their edges, if these are
    stored afterwards.
    """
    again: dict[str, Value] = {}
    if retry is not None:
        again[Field.RETRY] = retry.to_json()
    if blocked:
        again[Field.BLOCKED] = blocked
    if linking is not None:
        again[Field.LINKING] = linking
    gone = tuple(one for one in (Field.BLOCKED, Field.LINKING) if one not in again)
    limit_ms = limit_of_restarted(record, retry, now_ms=now_ms)
    if limit_ms is not None:
        again[Field.START_BY] = limit_ms
    elif record.start_by_ms is not None:
        gone = (*gone, Field.START_BY)
    return Change(
        job_id=record.id,
        condition=RESTART,
        values={"stamp": later(now_ms, record)},
        set={**_waits(record, due_ms=now_ms, now_ms=now_ms), **again, **_given(token)},
        remove=(
            *gone,
            Field.FINISHED,
            Field.EXPIRES,
            Field.PROGRESS,
            Field.FAILURES,
            Field.CRASHES,
            Field.CRASHED_RUNS,
            Field.LOST_LEASES,
            Field.LOST_RUN,
            Field.RELEASES,
            Field.GIVEN_UP,
            Field.NO_SPACE,
            Field.SWEPT,
        ),
    )


def cancel(record: JobRecord, *, now_ms: int, token: str | None = None) -> Change:
    """End a job. Its lease stays: the worker that holds it stops at its next heartbeat."""
    return cancelled(record, at_ms=later(now_ms, record), token=token)


def cancelled(record: JobRecord, *, at_ms: int, token: str | None = None) -> Change:
    """End a job at that time, by a command or because of another job."""
    return Change(
        job_id=record.id,
        condition=CANCEL,
        values={"stamp": at_ms},
        set={
            Field.STATE: State.CANCELLED,
            Field.FINISHED: at_ms,
            Field.UPDATED: at_ms,
            Field.OWED: OWED_STATUS,
            **_given(token),
            **mark(Attention.OWED, record.id, at_ms),
        },
        remove=(Field.PARKED,),
    )


def remove(
    record: JobRecord, *, now_ms: int, kept_ms: int, token: str, skew: timedelta = CLOCK_SKEW
) -> Put:
    """Replace the record with a tombstone.

    It outlives every message and event that could bring the job back: a late message finds no
    job, and a repeated upload event makes none. It says what the job has left behind, and is
    marked until that is deleted.
    """
    repeated: dict[str, Value] = {} if record.next_id is None else {Field.NEXT: record.next_id}
    return Put(
        key=record_key(record.id),
        content={
            Field.REMOVED: now_ms,
            Field.EXPIRES: (now_ms + kept_ms) // 1000,
            Field.TOKEN: token,
            Field.QUEUE: record.queue,
            **repeated,
            **mark(Attention.REMOVED, record.id, now_ms),
        },
        condition=REMOVE,
        values={"seen_updated": record.updated_ms, "lapsed": now_ms - span_ms(skew)},
    )


def never_stored(job_id: str, *, now_ms: int, kept_ms: int) -> Put:
    """A tombstone in the place of a record that may still be on its way to the store."""
    return Put(
        key=record_key(job_id),
        content={Field.REMOVED: now_ms, Field.EXPIRES: (now_ms + kept_ms) // 1000},
        condition=ABSENT,
    )


def cleared(job_id: str, *, token: str, removed_ms: int, expires_s: int) -> Put:
    """Note in a tombstone that nothing of the job is left."""
    return Put(
        key=record_key(job_id),
        content={Field.REMOVED: removed_ms, Field.EXPIRES: expires_s, Field.TOKEN: token},
        condition=SAME_TOKEN,
        values={"token": token},
    )


def _waits(record: JobRecord, *, due_ms: int, now_ms: int) -> dict[str, Value]:
    return {
        Field.STATE: State.WAITING,
        Field.DUE: due_ms,
        Field.UPDATED: later(now_ms, record),
        **mark(Attention.WAITING, record.id, now_ms),
    }


def _given(token: str | None) -> dict[str, Value]:
    """The token of a command, by which it knows its own effect when an answer was lost."""
    return {} if token is None else {Field.TOKEN: token}
