"""The changes a manager makes: pause, resume, cancel, restart.

A manager holds no message of the job. Whoever changes a record so writes its mark in the same
update and sends only then, so that a crash between the two is found by the scheduler.
"""

from __future__ import annotations

from typing import Final

from remotejob.domain.changes import OWED_STATUS, Attention, Change, Condition
from remotejob.domain.conditions import Absent, All, AtMost, Expression, Present, Value, state_is
from remotejob.domain.record import JobRecord, attention_key
from remotejob.domain.states import Command, State, sources_of
from remotejob.names import Field


def _allowed(command: Command, *guards: Expression) -> Condition:
    # Two managers, or a manager and a worker, on records read a while ago:
    #     M  reads (ready) ──────────── pause ✗ (running), reads again, is told so
    #     A               claim ✓ ── runs …
    # The stamp as in a claim: a manager's clock may lag behind the record's last writer.
    return Condition(
        name=command.value,
        expression=All(
            Present(Field.PK),
            state_is(*sources_of(command)),
            AtMost(Field.UPDATED, "stamp"),
            *guards,
        ),
    )


PAUSE: Final = _allowed(Command.PAUSE)
RESUME: Final = _allowed(Command.RESUME)
CANCEL: Final = _allowed(Command.CANCEL)
RESTART: Final = _allowed(
    Command.RESTART,
    # What the end owes is told first:
    #     A  fails (owes) ── (dies) ──────────────────────────── restart ✓
    #     M                          restart ✗
    #     S                                     tells, settles
    Absent(Field.OWED),
)


def pause(record: JobRecord, *, now_ms: int) -> Change:
    """Keep a job from starting. Its due time stays."""
    stamp = max(now_ms, record.updated_ms)
    return Change(
        job_id=record.id,
        condition=PAUSE,
        values={"stamp": stamp},
        set={
            Field.STATE: State.PAUSED,
            Field.UPDATED: stamp,
            **_mark(Attention.PAUSED, record.id, stamp),
        },
    )


def resume(record: JobRecord, *, now_ms: int) -> Change:
    """Let a paused job go on: due no earlier than before."""
    due_ms = max(now_ms, record.due_ms or now_ms)
    return Change(
        job_id=record.id,
        condition=RESUME,
        values={"stamp": max(now_ms, record.updated_ms)},
        set=_waits(record, due_ms=due_ms, now_ms=now_ms),
    )


def restart(record: JobRecord, *, now_ms: int) -> Change:
    """Run a job again that failed or was cancelled, its retry policy and crash budget anew."""
    return Change(
        job_id=record.id,
        condition=RESTART,
        values={"stamp": max(now_ms, record.updated_ms)},
        set=_waits(record, due_ms=now_ms, now_ms=now_ms),
        remove=(
            Field.FINISHED,
            Field.EXPIRES,
            Field.FAILURES,
            Field.CRASHES,
            Field.RELEASES,
            Field.SWEPT,
        ),
    )


def cancel(record: JobRecord, *, now_ms: int) -> Change:
    """End a job. Its lease stays: the worker that holds it stops at its next heartbeat."""
    stamp = max(now_ms, record.updated_ms)
    return Change(
        job_id=record.id,
        condition=CANCEL,
        values={"stamp": stamp},
        set={
            Field.STATE: State.CANCELLED,
            Field.FINISHED: stamp,
            Field.UPDATED: stamp,
            Field.OWED: OWED_STATUS,
            **_mark(Attention.OWED, record.id, stamp),
        },
    )


def _waits(record: JobRecord, *, due_ms: int, now_ms: int) -> dict[str, Value]:
    return {
        Field.STATE: State.WAITING,
        Field.DUE: due_ms,
        Field.UPDATED: max(now_ms, record.updated_ms),
        **_mark(Attention.WAITING, record.id, now_ms),
    }


def _mark(kind: str, job_id: str, at_ms: int) -> dict[str, Value]:
    return {Field.ATTENTION: attention_key(kind, job_id), Field.ATTENTION_AT: at_ms}
