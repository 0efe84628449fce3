"""Takes the locks a job runs under, and frees them.

Exclusion is guaranteed: a claim and its locks are one transaction. The order of waiting jobs is
best effort.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from remotejob.domain import locks
from remotejob.domain.changes import Change
from remotejob.domain.check_times import RECHECK
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import is_job_id
from remotejob.domain.locks import Held, Limit, limits_of
from remotejob.domain.odd_items import check_no_live_run, end_lease, take_odd
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Step, applied, key_of, no_job_id
from remotejob.domain.unreadable import reading_item
from remotejob.jobs.messaging.send import send_if_free
from remotejob.ports import Installation

log = logging.getLogger(__name__)

_TRIES: Final = 5
_WAITERS_READ: Final = 10


@dataclass(frozen=True, slots=True)
class Locked:
    """The job is claimed under all its locks; this is its record."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Parked:
    """A lock is held; the job waits for it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The record has changed since it was read; this is its current state, None if it is gone."""

    record: JobRecord | None


@dataclass(frozen=True, slots=True)
class Contended:
    """The locks changed hands on every try."""


Outcome = Locked | Parked | Changed | Contended


def claim_with_locks(
    record: JobRecord, change: Change, *, run_id: str, installation: Installation
) -> Outcome:
    """Claim a job together with the locks it needs, or park it at a lock that is held."""
    for _ in range(_TRIES):
        now = installation.clock.now_ms()
        steps: list[Step] = []
        held_by_others: Limit | None = None
        for limit in limits_of(record):
            taking = _steps_to_take(limit, record, run_id, installation, now_ms=now)
            if taking is None:
                held_by_others = limit
                break
            steps += taking
        if held_by_others is not None:
            return _park(record, held_by_others, installation, now_ms=now)
        conflict = installation.store.transact([change, *_without_duplicates(steps)])
        if conflict is None:
            return Locked(_record_after(change, record))
        if conflict.step == 0:
            return Changed(conflict.record)
    return Contended()


def _steps_to_take(
    limit: Limit, record: JobRecord, run_id: str, installation: Installation, *, now_ms: int
) -> list[Step] | None:
    """The steps that take a lock, or None when live runs hold it."""
    held, odd = _slots(limit, installation)
    found = locks.slot_to_take(limit, {one.key.name: one for one in held}, record)
    if found is not None:
        key, seen = found
        taking = locks.take(key, record, run_id, seen=seen)
        return [take_odd(taking) if seen is None and key.name in odd else taking]
    for one, holder in _stale_holders(limit, held, installation, now_ms=now_ms).items():
        taking = locks.take(one.key, record, run_id, seen=one)
        if not is_job_id(one.job_id) or _needs_another(holder, limit):
            return [taking]
        if holder is None:
            over = check_no_live_run(one, now_ms=now_ms, skew=installation.skew)
            return [taking, over]
        if holder.lease_beyond_sense(now_ms):
            installation.store.update(end_lease(holder))
        skew_ms = span_ms(installation.skew)
        return [taking, locks.relieve(one, holder, now_ms=now_ms, skew_ms=skew_ms)]
    return None


def _park(
    record: JobRecord, limit: Limit, installation: Installation, *, now_ms: int
) -> Parked | Changed:
    steps = locks.park(
        record,
        limit,
        now_ms=now_ms,
        skew_ms=span_ms(installation.skew),
        look_ms=now_ms + span_ms(RECHECK),
        actor=installation.actor,
    )
    conflict = installation.store.transact(steps)
    if conflict is not None:
        return Changed(conflict.record)
    # the lock may have become free just before; and another of its locks may have woken this job,
    # which cannot use that lock now
    for one in limits_of(record):
        wake_and_send(one, installation)
    return Parked()


def unlock(record: JobRecord, installation: Installation) -> bool:
    """Free the locks of a run that has ended, and wake the jobs that wait for them.

    Returns False while a cancelled run is still winding down.
    """
    now = installation.clock.now_ms()
    if record.run_id is not None and record.live(
        record.run_id, now, skew_ms=span_ms(installation.skew)
    ):
        return False
    for limit in limits_of(record):
        held = holders(limit, installation)
        for one in held:
            if one.job_id == record.id and one.run_id == record.run_id:
                installation.store.transact([locks.unlock(one)])
        # even if the lock was freed before: that process may have died before waking a job
        wake_and_send(limit, installation)
    return True


def wake_and_send(limit: Limit, installation: Installation) -> None:
    """Let the first job parked at a lock try again, if a slot is free for it."""
    store, now = installation.store, installation.clock.now_ms()
    held, _odd = _slots(limit, installation)
    if len(held) >= limit.slots and not _stale_holders(limit, held, installation, now_ms=now):
        return
    for name, _item in store.items(limit.partition, locks.WAITERS, at_a_time=_WAITERS_READ):
        job_id = name.removeprefix(locks.WAITERS)
        try:
            if not is_job_id(job_id):
                raise no_job_id(name, partition=limit.partition)
            record = store.get(job_id)
        except UnreadableItem as problem:
            # it holds back none of the others
            installation.skipped.add(problem)
            continue
        if record is None or record.parked != limit.partition or record.terminal:
            # paused, cancelled or removed while it waited; a job parked again keeps its item
            store.transact(locks.clear_waiter(job_id, limit))
            continue
        if store.transact(locks.unpark(record, limit, now_ms=now)) is not None:
            # another process was first, and sends the message
            continue
        log.info("job woken: its lock is free", extra={"job": job_id})
        woken = store.get(job_id)
        send_if_free(woken, installation)
        if woken is not None and woken.runnable(now):
            return
        # a job that is not due yet leaves the lock to the next one


def holders(limit: Limit, installation: Installation) -> list[Held]:
    """The taken slots of a lock, including those of runs that are over."""
    return _slots(limit, installation)[0]


def live_holders(limit: Limit, installation: Installation, *, now_ms: int) -> list[JobRecord]:
    """The jobs whose runs hold a lock now."""
    held = {one.job_id: one.run_id for one in holders(limit, installation)}
    return [
        one
        for one in installation.store.get_many(sorted(held))
        if _holds(one, held[one.id], limit, installation, now_ms=now_ms)
    ]


def _slots(limit: Limit, installation: Installation) -> tuple[list[Held], set[str]]:
    """The taken slots of a lock, and the names of odd ones, which nobody holds."""
    held: list[Held] = []
    odd: set[str] = set()
    for name, item in installation.store.items(limit.partition, locks.SLOTS):
        try:
            with reading_item(limit.partition, name):
                held.append(Held.of(limit, name, item))
        except UnreadableItem as problem:
            installation.skipped.add(problem)
            odd.add(name)
    return held, odd


def _stale_holders(
    limit: Limit, held: Iterable[Held], installation: Installation, *, now_ms: int
) -> dict[Held, JobRecord | None]:
    """The holders whose runs are no longer live, with their jobs if these can be read."""
    found = installation.store.get_many([one.job_id for one in held if is_job_id(one.job_id)])
    records = {holder.id: holder for holder in found}
    return {
        one: records.get(one.job_id)
        for one in held
        if one.job_id not in records
        or not _holds(records[one.job_id], one.run_id, limit, installation, now_ms=now_ms)
    }


def _holds(
    holder: JobRecord, run_id: str, limit: Limit, installation: Installation, *, now_ms: int
) -> bool:
    live = holder.live(run_id, now_ms, skew_ms=span_ms(installation.skew))
    return live and not _needs_another(holder, limit)


def _needs_another(holder: JobRecord | None, limit: Limit) -> bool:
    """Whether a job is named as the holder of a lock that it does not need to run."""
    if holder is None:
        return False
    return all(limit.partition != one.partition for one in limits_of(holder))


def _without_duplicates(steps: list[Step]) -> list[Step]:
    """Drop duplicates: two locks may be taken over from one holder, and a transaction allows only
    one step per item."""
    return list({key_of(step): step for step in steps}.values())


def _record_after(change: Change, record: JobRecord) -> JobRecord:
    # exact: the change was made only if the record was still the one we read
    return JobRecord.from_item({**applied(change, record.to_item())})
