"""What a manager does to a job, as the design says, written here until the library offers it."""

from __future__ import annotations

from typing import Final

from remotejob.domain.changes import OWED_STATUS, Attention, Change, Condition
from remotejob.domain.conditions import Absent, All, AtMost, Expression, Present, state_is
from remotejob.domain.record import JobRecord, attention_key
from remotejob.domain.states import Command, State, sources_of
from remotejob.names import Field

_MARK: Final = (Field.ATTENTION, Field.ATTENTION_AT)


def cancel(record: JobRecord, *, now_ms: int) -> Change:
    """End the job; the lease stays, for its holder to let go of."""
    finished = max(now_ms, record.updated_ms)
    return Change(
        job_id=record.id,
        condition=_allowed(Command.CANCEL),
        values={"stamp": max(now_ms, record.updated_ms)},
        set={
            Field.STATE: State.CANCELLED,
            Field.FINISHED: finished,
            Field.UPDATED: finished,
            Field.OWED: OWED_STATUS,
            Field.ATTENTION: attention_key(Attention.OWED, record.id),
            Field.ATTENTION_AT: finished,
        },
    )


def pause(record: JobRecord, *, now_ms: int) -> Change:
    return Change(
        job_id=record.id,
        condition=_allowed(Command.PAUSE),
        values={"stamp": max(now_ms, record.updated_ms)},
        set={Field.STATE: State.PAUSED, Field.UPDATED: max(now_ms, record.updated_ms)},
        remove=_MARK,
    )


def resume(record: JobRecord, *, now_ms: int) -> Change:
    return _to_waiting(Command.RESUME, record, now_ms, due_ms=max(now_ms, record.due_ms or 0))


def restart(record: JobRecord, *, now_ms: int) -> Change:
    return _to_waiting(Command.RESTART, record, now_ms, due_ms=now_ms)


def _to_waiting(command: Command, record: JobRecord, now_ms: int, *, due_ms: int) -> Change:
    return Change(
        job_id=record.id,
        condition=_allowed(command, Absent(Field.OWED)),
        values={"stamp": max(now_ms, record.updated_ms)},
        set={
            Field.STATE: State.WAITING,
            Field.DUE: due_ms,
            Field.UPDATED: max(now_ms, record.updated_ms),
            Field.ATTENTION: attention_key(Attention.WAITING, record.id),
            Field.ATTENTION_AT: now_ms,
        },
        remove=(Field.FINISHED, Field.EXPIRES),
    )


def _allowed(command: Command, *guards: Expression) -> Condition:
    # as in a claim: one who read the record long ago must not set its time back
    unaged = AtMost(Field.UPDATED, "stamp")
    return Condition(
        name=str(command),
        expression=All(Present(Field.PK), state_is(*sources_of(command)), unaged, *guards),
    )
