"""The changes that tidy records outside a run: moving marks, settling ends, the daily sweep.

`domain.changes` explains the time lines.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from remotejob.domain.changes import EXISTS, Change, Condition, Fields
from remotejob.domain.conditions import All, Is, Item, Value
from remotejob.domain.marks import MARK, Attention, mark
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import State
from remotejob.names import Field

SAME_MARK: Final = Condition(
    name="same_mark",
    # The mark moves only if it has not changed since it was read:
    #     S  reads mark ── sends ──────────── moves it ✗ (the job is claimed, its mark is gone)
    #     A                        claim ✓
    expression=All(EXISTS, Is(Field.ATTENTION, "seen_kind"), Is(Field.ATTENTION_AT, "seen_at")),
)

OWED_BY_RUN: Final = Condition(
    name="owed_by_run",
    # Two carry out the consequences of one end; the later must not clear those of a new end.
    #     A  fails (owes) ── status sent ─────────────────────── settle ✗
    #     S                    status sent ── settle ✓
    #     M                                       restart …
    expression=All(EXISTS, Is(Field.OWED, "owed"), Is(Field.FINISHED, "finished")),
)

UNCHANGED: Final = Condition(
    name="unchanged",
    # The sweep notes what it did, unless the job changed meanwhile.
    expression=All(EXISTS, Is(Field.UPDATED, "seen_updated")),
)


def move_mark(record: JobRecord, *, to_ms: int) -> Change:
    """Check the record again at `to_ms`."""
    assert record.attention is not None
    assert record.attention_ms is not None
    return Change(
        job_id=record.id,
        condition=SAME_MARK,
        values={"seen_kind": record.attention, "seen_at": record.attention_ms},
        set={Field.ATTENTION_AT: to_ms},
    )


def settle(record: JobRecord, *, retention_ms: int) -> Change:
    """Note that all consequences are carried out: the record may expire."""
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
    """The kind of mark under which an ended job is listed."""
    if record.state is State.FAILED:
        return Attention.FAILED
    kept = record.state is State.CANCELLED and record.checkpoint_ref is not None
    return Attention.KEPT if kept else None


def swept(
    record: JobRecord, *, now_ms: int, report: Item = MappingProxyType({}), remove: Fields = ()
) -> Change:
    """Note that the daily sweep handled the record; `remove` names the fields it clears."""
    return Change(
        job_id=record.id,
        condition=UNCHANGED,
        values={"seen_updated": record.updated_ms},
        set={Field.SWEPT: now_ms, **report},
        remove=remove,
    )


def noted(record: JobRecord, *, kind: str, why: str, now_ms: int) -> Change:
    """Note in a job's errors why nothing happens to it, once however often it is noted."""
    earlier = [error for error in record.errors if error.kind != kind]
    note = Failure(run_id="", attempt=record.attempt, at_ms=now_ms, kind=kind, message=why)
    return Change(
        job_id=record.id,
        condition=UNCHANGED,
        values={"seen_updated": record.updated_ms},
        set={Field.ERRORS: errors_to_json((*earlier, note))},
    )
