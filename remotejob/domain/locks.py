"""Locks: one running job per resource, and a limited number per tenant.

A lock is a slot item that names the job and the run that hold it. It is valid only as long as that
run is live; after that, the next job takes it over. A job that finds every slot held is parked,
and a waiter item keeps its place in the order of submission.

In the time lines, A and B are workers, J and K jobs of one resource.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from remotejob.domain.changes import EXISTS, UNHINDERED, Change, Condition
from remotejob.domain.conditions import (
    Absent,
    All,
    AtMost,
    Either,
    Is,
    IsNot,
    Item,
    Value,
    state_is,
)
from remotejob.domain.history import lapsed
from remotejob.domain.lapses import lapse_of
from remotejob.domain.marks import Attention, mark
from remotejob.domain.record import JobRecord
from remotejob.domain.run_changes import claim
from remotejob.domain.start_limits import limit_to_write
from remotejob.domain.states import Command, State, sources_of
from remotejob.domain.transactions import (
    ABSENT,
    SAME_HOLDER,
    Check,
    Erase,
    Key,
    Put,
    record_key,
    text,
)
from remotejob.names import Field, Partition

SLOTS: Final = "lock#"
WAITERS: Final = "waiter#"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many runs may hold a lock at a time."""

    partition: str
    """The partition of its slots and waiters."""
    slots: int


def limits_of(record: JobRecord) -> tuple[Limit, ...]:
    """The locks a job needs to run."""
    limits = []
    if record.resource is not None:
        limits.append(Limit(f"{Partition.RESOURCE}{record.resource}", 1))
    if record.tenant is not None and record.tenant_limit is not None:
        tenant = f"{Partition.TENANT}{record.queue}#{record.tenant}"
        limits.append(Limit(tenant, record.tenant_limit))
    return tuple(limits)


@dataclass(frozen=True, slots=True)
class Held:
    """A slot that a run holds, or held."""

    key: Key
    job_id: str
    run_id: str

    @classmethod
    def of(cls, limit: Limit, name: str, item: Item) -> Held:
        return cls(Key(limit.partition, name), text(item[Field.JOB]), text(item[Field.RUN]))

    @property
    def values(self) -> Item:
        return {"job": self.job_id, "run": self.run_id}


CLAIM_LOCKED: Final = Condition(
    name="claim_locked",
    # Like a claim, but on the record as read: a transaction returns no record.
    expression=All(
        EXISTS,
        Either(
            state_is(State.READY),
            All(state_is(State.WAITING), AtMost(Field.DUE, "now"), *UNHINDERED),
        ),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        Is(Field.UPDATED, "seen_updated"),
    ),
)

PARK: Final = replace(CLAIM_LOCKED, name="park")

NOT_LIVE: Final = Condition(
    name="not_live",
    # A lock is taken over only from a run that is no longer live:
    #     A  runs J ── (dies)
    #     B             K finds the lock, J's lease is live ── parks K
    #     B                       (J's lease ends) ── K takes the lock over ✓
    # A job cancelled while it runs keeps its lease until its holder stops, so it is live.
    expression=Either(
        Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed"), IsNot(Field.RUN, "holders_run")
    ),
)

RELIEVE: Final = Condition(
    name="relieve",
    # A heartbeat compares the lease with the time it was sent, and may arrive late:
    #     A  runs J ── heartbeat ── (on its way, past the lease) ─────── ✗ (its lease is gone)
    #     B                            K takes the lock over from J ✓ ── runs …
    expression=All(EXISTS, Is(Field.RUN, "holders_run"), AtMost(Field.LEASE, "lapsed")),
)

_LONG_AGO: Final = 0
"""The end of a lease that no heartbeat can extend any more."""

UNPARK: Final = Condition(
    name="unpark",
    # Two unlock and find the same waiter; or it was paused or cancelled meanwhile:
    #     A  unlocks ── wakes K ✓
    #     B              wakes K ✗ (no longer parked) ── wakes the next
    expression=All(
        EXISTS,
        state_is(*sources_of(Command.UNBLOCK)),
        Is(Field.PARKED, "lock"),
        AtMost(Field.DUE, "due"),
    ),
)

NOT_PARKED: Final = Condition(
    name="not_parked",
    # The job may have been parked again since: then its waiter item must stay.
    expression=IsNot(Field.PARKED, "lock"),
)


def claim_locked(
    record: JobRecord, *, run_id: str, worker: str, now_ms: int, lease_ms: int, skew_ms: int
) -> Change:
    """Claim a runnable job as read: as one step of the transaction that takes its locks, or one
    whose limit counts from its due time and is written now."""
    taken = claim(
        record.id,
        task=record.task,
        queue=record.queue,
        run_id=run_id,
        worker=worker,
        now_ms=now_ms,
        stamp_ms=max(now_ms, record.updated_ms),
        lease_ms=lease_ms,
        skew_ms=skew_ms,
    )
    limit_ms = limit_to_write(record)
    return replace(
        taken,
        set=taken.set if limit_ms is None else {**taken.set, Field.START_BY: limit_ms},
        condition=CLAIM_LOCKED,
        values=_values_of(record, now_ms=now_ms, skew_ms=skew_ms),
    )


def _values_of(record: JobRecord, *, now_ms: int, skew_ms: int) -> Item:
    """The values that a locked claim compares with, or its stand-in when the lock is held."""
    return {"now": now_ms, "lapsed": now_ms - skew_ms, "seen_updated": record.updated_ms}


def take(key: Key, record: JobRecord, run_id: str, *, seen: Held | None) -> Put:
    """Take a slot that is free, or one whose holder, as read, is no longer live."""
    return Put(
        key=key,
        content={Field.JOB: record.id, Field.RUN: run_id},
        condition=ABSENT if seen is None else SAME_HOLDER,
        values={} if seen is None else seen.values,
    )


def check_over(held: Held, *, now_ms: int, skew_ms: int) -> Check:
    """Check that the run holding the slot is not live."""
    return Check(
        key=record_key(held.job_id),
        condition=NOT_LIVE,
        values={"lapsed": now_ms - skew_ms, "holders_run": held.run_id},
    )


def relieve(held: Held, holder: JobRecord | None, *, now_ms: int, skew_ms: int) -> Change | Check:
    """Make sure the run holding the slot is not live and stays so; `holder` is its job, as read."""
    over = check_over(held, now_ms=now_ms, skew_ms=skew_ms)
    if holder is None or holder.run_id != held.run_id or holder.lease_ms is None:
        return over
    return Change(
        job_id=held.job_id,
        condition=RELIEVE,
        values=over.values,
        set={Field.LEASE: _LONG_AGO},
    )


def park(
    record: JobRecord,
    limit: Limit,
    *,
    now_ms: int,
    skew_ms: int,
    look_ms: int,
    actor: str = "",
) -> list[Change | Put]:
    """Let a job wait for a lock. After parking, the caller must read the lock again.

    If its last run fell silent, its log says so, as found by `actor`.

    A  runs J ─── unlocks ── looks for waiters, finds K, wakes it
    B           parks K ── reads the lock: held

    A  runs J ─── unlocks ── looks for waiters, finds none
    B                                      parks K ── reads the lock: free ── wakes K
    """
    limit_ms = limit_to_write(record)
    waits: dict[str, Value] = {
        Field.STATE: State.WAITING,
        Field.DUE: record.due_ms or record.created_ms,
        Field.PARKED: limit.partition,
        Field.UPDATED: max(now_ms, record.updated_ms),
        **mark(Attention.WAITING, record.id, look_ms),
        # once woken, it is due later: the time at the lock counts
        **({} if limit_ms is None else {Field.START_BY: limit_ms}),
    }
    parked = Change(
        job_id=record.id,
        condition=PARK,
        values=_values_of(record, now_ms=now_ms, skew_ms=skew_ms),
        set=waits,
        remove=(Field.LEASE,),
    )
    if record.state is State.RUNNING:
        # another job took over its lock when its worker fell silent
        lapse = lapse_of(record, now_ms=now_ms, skew_ms=skew_ms)
        parked = replace(
            parked,
            condition=lapse.condition,
            values=lapse.values,
            set={**waits, **lapse.set},
            add=lapse.add,
        )
        parked = lapsed(parked, record, actor=actor)
    waiter = Put(key=waiter_key(limit, record.id), content={Field.JOB: record.id})
    return [parked, waiter]


def unpark(record: JobRecord, limit: Limit, *, now_ms: int) -> list[Change | Erase]:
    """Let a parked job try again: due now, or at its due time if that is later."""
    due_ms = max(now_ms, record.due_ms or now_ms)
    woken = Change(
        job_id=record.id,
        condition=UNPARK,
        values={"lock": limit.partition, "due": due_ms},
        set={Field.DUE: due_ms, **mark(Attention.WAITING, record.id, now_ms)},
        remove=(Field.PARKED,),
    )
    return [woken, Erase(key=waiter_key(limit, record.id))]


def clear_waiter(job_id: str, limit: Limit) -> list[Erase | Check]:
    """Delete the waiter item of a job that no longer waits."""
    return [
        Erase(key=waiter_key(limit, job_id)),
        Check(key=record_key(job_id), condition=NOT_PARKED, values={"lock": limit.partition}),
    ]


def unlock(held: Held) -> Erase:
    """Free a slot, if that run still holds it."""
    return Erase(key=held.key, condition=SAME_HOLDER, values=held.values)


def waiter_key(limit: Limit, job_id: str) -> Key:
    """The key of a waiter item. Waiters sort by job id, which is the order of submission."""
    return Key(limit.partition, f"{WAITERS}{job_id}")


def slot_key(limit: Limit, number: int) -> Key:
    return Key(limit.partition, f"{SLOTS}{number:03d}")


def slot_to_take(
    limit: Limit, held: Mapping[str, Held], record: JobRecord
) -> tuple[Key, Held | None] | None:
    """The slot to take and the job's own earlier hold on it; None if others hold every slot.

    A slot the job already holds (its last run died) comes first, then a free one.
    """
    for one in held.values():
        if one.job_id == record.id:
            return one.key, one
    # each job starts at another slot, so many at a time do not all want the same one
    first = zlib.crc32(record.id.encode())
    for number in range(limit.slots):
        key = slot_key(limit, (first + number) % limit.slots)
        if key.name not in held:
            return key, None
    return None
