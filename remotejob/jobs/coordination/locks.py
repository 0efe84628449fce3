"""Takes the locks a job runs under, and lets go of them.

Exclusion is certain, for a claim and its locks are one transaction; the order of those who wait
is best effort.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from remotejob.domain import locks
from remotejob.domain.changes import Change
from remotejob.domain.check_times import RECHECK
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.locks import Held, Limit, limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Step, applied, key_of
from remotejob.jobs.messaging.send import send_if_free
from remotejob.ports import Installation

log = logging.getLogger(__name__)

_SKEW_MS: Final = span_ms(CLOCK_SKEW)
_TRIES: Final = 5
_WAITERS_READ: Final = 10


@dataclass(frozen=True, slots=True)
class Locked:
    """The job is claimed, under all its locks; this is its record."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Parked:
    """A lock is held: the job waits for it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The record is not as it was read; this is what it is now, None if there is none."""

    record: JobRecord | None


@dataclass(frozen=True, slots=True)
class Contended:
    """The locks changed hands each time they were looked at."""


Outcome = Locked | Parked | Changed | Contended


def claim_with_locks(
    record: JobRecord, change: Change, *, run_id: str, installation: Installation
) -> Outcome:
    """Carry out a claim together with the locks it needs, or park the job at one that is held."""
    for _ in range(_TRIES):
        now = installation.clock.now_ms()
        steps: list[Step] = []
        held_by_others: Limit | None = None
        for limit in limits_of(record):
            taking = _taking(limit, record, run_id, installation, now_ms=now)
            if taking is None:
                held_by_others = limit
                break
            steps += taking
        if held_by_others is not None:
            return _park(record, held_by_others, installation, now_ms=now)
        conflict = installation.store.transact([change, *_once_each(steps)])
        if conflict is None:
            return Locked(_after(change, record))
        if conflict.step == 0:
            return Changed(conflict.record)
    return Contended()


def _taking(
    limit: Limit, record: JobRecord, run_id: str, installation: Installation, *, now_ms: int
) -> list[Step] | None:
    """The steps that take a lock, or None when live runs have it."""
    held = holders(limit, installation)
    found = locks.slot_to_take(limit, {one.key.name: one for one in held}, record)
    if found is not None:
        key, seen = found
        return [locks.take(key, record, run_id, seen=seen)]
    for one, holder in _over(held, installation, now_ms=now_ms).items():
        relieved = locks.relieve(one, holder, now_ms=now_ms, skew_ms=_SKEW_MS)
        return [locks.take(one.key, record, run_id, seen=one), relieved]
    return None


def _park(
    record: JobRecord, limit: Limit, installation: Installation, *, now_ms: int
) -> Parked | Changed:
    steps = locks.park(
        record, limit, now_ms=now_ms, skew_ms=_SKEW_MS, look_ms=now_ms + span_ms(RECHECK)
    )
    conflict = installation.store.transact(steps)
    if conflict is not None:
        return Changed(conflict.record)
    # the lock may have become free just before; and whoever let go of another of its locks may
    # have woken this job, which cannot use it now
    for one in limits_of(record):
        wake_and_send(one, installation)
    return Parked()


def unlock(record: JobRecord, installation: Installation) -> bool:
    """Free the locks of a run that has ended, and wake who waits for them.

    Returns whether it was done: not while a cancelled run is still winding down.
    """
    now = installation.clock.now_ms()
    if record.run_id is not None and record.live(record.run_id, now, skew_ms=_SKEW_MS):
        return False
    for limit in limits_of(record):
        held = holders(limit, installation)
        for one in held:
            if one.job_id == record.id and one.run_id == record.run_id:
                installation.store.transact([locks.unlock(one)])
        # also when it was let go of before: whoever did may have died before waking anybody
        wake_and_send(limit, installation)
    return True


def wake_and_send(limit: Limit, installation: Installation) -> None:
    """Let the first job parked at a lock try again, if a slot is free for it."""
    store, now = installation.store, installation.clock.now_ms()
    held = holders(limit, installation)
    if len(held) >= limit.slots and not _over(held, installation, now_ms=now):
        return
    for name, _item in store.items(limit.partition, locks.WAITERS, at_a_time=_WAITERS_READ):
        job_id = name.removeprefix(locks.WAITERS)
        record = store.get(job_id)
        if record is None or record.parked != limit.partition or record.terminal:
            # paused, cancelled or removed while it waited; what is parked again keeps its item
            store.transact(locks.clear_waiter(job_id, limit))
            continue
        if store.transact(locks.unpark(record, limit, now_ms=now)) is not None:
            # somebody else was first; whoever that is sends
            continue
        log.info("job woken: its lock is free", extra={"job": job_id})
        woken = store.get(job_id)
        send_if_free(woken, installation)
        if woken is not None and woken.runnable(now):
            return
        # one that is not due yet leaves the lock to the next


def holders(limit: Limit, installation: Installation) -> list[Held]:
    """The slots of a lock that are taken, also by runs that are over."""
    items = installation.store.items(limit.partition, locks.SLOTS)
    return [Held.of(limit, name, item) for name, item in items]


def _over(
    held: Iterable[Held], installation: Installation, *, now_ms: int
) -> dict[Held, JobRecord | None]:
    """Those of the holders whose runs are not live any more, with their jobs."""
    found = installation.store.get_many([one.job_id for one in held])
    records = {holder.id: holder for holder in found}
    return {
        one: records.get(one.job_id)
        for one in held
        if one.job_id not in records
        or not records[one.job_id].live(one.run_id, now_ms, skew_ms=_SKEW_MS)
    }


def _once_each(steps: list[Step]) -> list[Step]:
    """A transaction takes one step an item; two locks may be taken over from one holder."""
    return list({key_of(step): step for step in steps}.values())


def _after(change: Change, record: JobRecord) -> JobRecord:
    # exact, for the change was made on condition that the record is the one that was read
    return JobRecord.from_item({**applied(change, record.to_item())})
