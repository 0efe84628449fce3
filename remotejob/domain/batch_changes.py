"""Transaction steps on batches, and the conditions that guard them.

In the time lines, M maps or manages, W is a worker, S is the scheduler, R is another manager; time
runs to the right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from remotejob.domain.batches import (
    BATCH,
    COUNTED,
    THEN,
    BatchRecord,
    Follower,
    batch_key,
    counter_key,
    page_name,
)
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.check_times import RECHECK
from remotejob.domain.command_changes import RESTART
from remotejob.domain.conditions import Absent, All, Contains, Is, Value, state_is
from remotejob.domain.history import Action, appended
from remotejob.domain.ids import shard_of
from remotejob.domain.marks import Attention, attention_key, mark
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.start_limits import FROM_DUE, limit_from_due
from remotejob.domain.states import Command, State, sources_of
from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import ABSENT, Check, Count, Put, Step, put_record, record_key
from remotejob.domain.upkeep_changes import OWED_BY_RUN, settle
from remotejob.names import SHARDS, Field

OPEN: Final = Condition(
    name="open",
    # A batch cancelled while it is being made gets no more children:
    #     M  page 1 ✓ ── stores it ──────────── page 2 ✗, cancels page 1 again, reports it
    #     R                         stop ✓ ── cancels the children it finds
    expression=All(EXISTS, Absent(Field.SEALED), Absent(Field.STOPPED)),
)

THERE: Final = Condition(name="batch_there", expression=EXISTS)
"""The batch has not expired. Adding to a missing counter would create a new one."""

COUNTED_ONCE: Final = Condition(
    name="counted_once",
    # The transaction that settles an end also counts it, so a second attempt counts nothing:
    #     W  completes (owes) ── notifies ── settles and counts ✓
    #     S                       notifies ───────────────────── settles and counts ✗
    expression=All(OWED_BY_RUN.expression, Is(Field.STATE, "ended")),
)

RESTART_COUNTED: Final = Condition(
    name="restart_counted",
    # Only the end that was read may be taken off the count, not a later one:
    #     R  reads (failed) ───────────────────────────── restart ✗ (cancelled, at another time)
    #     M                  restart ✓ ── cancel, counted
    expression=All(RESTART.expression, Is(Field.FINISHED, "finished"), Is(Field.STATE, "ended")),
)

FOLLOWS: Final = Condition(
    name="follows",
    # The follower is still blocked: a restart makes the batch incomplete, and completing it again
    # unblocks the follower. A follower that has already been unblocked gets a successor:
    #     W  counts the last ✓ ── unblocks the follower ✓
    #     R                 restart ✗ (unblocked) ── restart ✓ with another follower
    expression=All(EXISTS, Contains(Field.BLOCKED, "batch")),
)

FOLLOWS_WAITING: Final = Condition(
    name="follows_waiting",
    expression=All(FOLLOWS.expression, state_is(*sources_of(Command.UNBLOCK))),
)

SAME_COUNTS: Final = Condition(
    name="same_counts",
    # The counters are read one after the other: the follower is unblocked only if none of them
    # has changed since.
    #     W  reads (complete) ──────────── unblocks the follower ✗ (a child runs again)
    #     R                    restart ✓
    expression=All(
        Is(Field.COMPLETED, "completed"),
        Is(Field.FAILED, "failed"),
        Is(Field.CANCELLED, "cancelled"),
    ),
)


def begun(batch: BatchRecord, *, follower_id: str | None) -> list[Step]:
    """The steps that create a batch, empty and not sealed."""
    described = {
        "task": batch.task,
        "queue": batch.queue,
        "name": batch.name,
        "created_ms": batch.created_ms,
        "then": None if batch.follower is None else batch.follower.values(),
    }
    expires: dict[str, Value] = {Field.EXPIRES: batch.expires_s}
    nothing: dict[str, Value] = dict.fromkeys(COUNTED.values(), 0)
    steps: list[Step] = [
        Put(
            key=batch_key(batch.id, BATCH),
            content={Field.CONTENT: dumps(described), **expires},
            condition=ABSENT,
        ),
        *(
            Put(key=counter_key(batch.id, shard), content={**nothing, **expires})
            for shard in range(SHARDS)
        ),
    ]
    if follower_id is not None:
        steps += followed(batch, follower_id, now_ms=batch.created_ms)
    return steps


def followed(batch: BatchRecord, job_id: str, *, now_ms: int) -> list[Step]:
    """The steps that create the next follower of a batch, blocked by the batch.

    The scheduler re-checks blocked jobs, so the batch's end is noticed even after a crash.
    """
    assert batch.follower is not None
    values = batch.follower.values()
    values["data_json"] = _data(batch, {})
    if "start_in_ms" in values:
        values["start_by_ms"] = FROM_DUE
    record = JobRecord(
        id=job_id,
        state=State.WAITING,
        created_ms=now_ms,
        updated_ms=now_ms,
        due_ms=now_ms,
        blocked=frozenset({batch.id}),
        attention=attention_key(Attention.WAITING, job_id),
        attention_ms=now_ms + span_ms(RECHECK),
        **values,
    )
    name = f"{THEN}{len(batch.follower_ids) + 1:08}"
    expires: dict[str, Value] = {Field.EXPIRES: batch.expires_s}
    return [
        Put(
            key=batch_key(batch.id, name), content={Field.JOB: job_id, **expires}, condition=ABSENT
        ),
        put_record(record),
    ]


def page_added(batch: BatchRecord, page: int, job_ids: Sequence[str]) -> list[Step]:
    """The steps that note the ids of children about to be stored."""
    return [
        Put(
            key=batch_key(batch.id, page_name(page)),
            content={Field.CONTENT: " ".join(job_ids), Field.EXPIRES: batch.expires_s},
            # if the answer is lost and the request repeated, it counts once
            condition=ABSENT,
        ),
        Count(key=batch_key(batch.id, BATCH), add={Field.TOTAL: len(job_ids)}, condition=OPEN),
    ]


def sealed(batch_id: str) -> Count:
    """All children are made."""
    return Count(key=batch_key(batch_id, BATCH), add={Field.SEALED: 1}, condition=OPEN)


def stopped(batch_id: str) -> Count:
    """No more children may be made."""
    return Count(key=batch_key(batch_id, BATCH), add={Field.STOPPED: 1}, condition=OPEN)


def counted(batch_id: str, records: Sequence[JobRecord], *, retention_ms: int) -> list[Step]:
    """The steps that settle children that have ended and count them; the counter comes last.

    All go to the counter of the first child. The counters are summed, so any will do, and the
    fewer of them a transaction touches, the more transactions can run at a time.
    """
    ends = Counter(COUNTED[record.state] for record in records)
    return [
        *(_settled(record, retention_ms=retention_ms) for record in records),
        Count(key=counter_key(batch_id, shard_of(records[0].id)), add=ends, condition=THERE),
    ]


def _settled(record: JobRecord, *, retention_ms: int) -> Change:
    change = settle(record, retention_ms=retention_ms)
    return replace(change, condition=COUNTED_ONCE, values={**change.values, "ended": record.state})


def uncounted(batch: BatchRecord, record: JobRecord) -> Count:
    """The step that takes a restarted child off the count; goes with the restart."""
    return Count(
        key=counter_key(batch.id, shard_of(record.id)),
        add={COUNTED[record.state]: -1},
        condition=THERE,
    )


def restart_counted(change: Change, record: JobRecord) -> Change:
    """The restart of a child, only from the end that is taken off the count."""
    assert record.finished_ms is not None
    return replace(
        change,
        condition=RESTART_COUNTED,
        values={**change.values, "finished": record.finished_ms, "ended": record.state},
    )


def follows(batch_id: str, job_id: str) -> Check:
    """The step, next to a restart, that makes sure a follower still waits for the batch."""
    return Check(key=record_key(job_id), condition=FOLLOWS, values={"batch": batch_id})


def unlock(
    batch: BatchRecord, job_id: str, *, now_ms: int, waiting: bool, actor: str = ""
) -> list[Step]:
    """The steps that unblock the follower of a complete batch and give it the counts.

    A follower that is not `waiting` (paused, or ended) is unblocked too. Its log says that `actor`
    did it.
    """
    counts = {
        "total": batch.total,
        "completed": batch.completed,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
    }
    # marked, because the caller holds no message of the follower
    marked = mark(Attention.WAITING, job_id, now_ms) if waiting else {}
    limit_ms = _limit_from(batch.follower, now_ms)
    limited: dict[str, Value] = {} if limit_ms is None else {Field.START_BY: limit_ms}
    change = Change(
        job_id=job_id,
        condition=FOLLOWS_WAITING if waiting else FOLLOWS,
        values={"batch": batch.id},
        set={Field.DATA: _data(batch, counts), **limited, **marked},
        discard={Field.BLOCKED: frozenset({batch.id})},
    )
    change = appended(change, Action.RESOLVED, at_ms=now_ms, actor=actor, detail=batch.id)
    return [change, *_unchanged(batch)]


def _limit_from(follower: Follower | None, now_ms: int) -> int | None:
    """The limit of a follower that becomes runnable now, if it counts from then."""
    if follower is None or follower.start_in_ms is None:
        return None
    retry = None if follower.retry_json is None else Retry.from_json(follower.retry_json)
    return limit_from_due(follower.start_in_ms, retry, due_ms=now_ms)


def _unchanged(batch: BatchRecord) -> Iterable[Check]:
    for name, counter in batch.counters.items():
        yield Check(
            key=batch_key(batch.id, name),
            condition=SAME_COUNTS,
            values={
                "completed": counter[Field.COMPLETED],
                "failed": counter[Field.FAILED],
                "cancelled": counter[Field.CANCELLED],
            },
        )


def _data(batch: BatchRecord, counts: Mapping[str, int]) -> str:
    assert batch.follower is not None
    own = batch.follower.data_json
    summary = {"id": batch.id, "name": batch.name, **counts}
    return dumps({**(json.loads(own) if own else {}), "batch": summary})
