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
from remotejob.domain.decisions import CLOCK_SKEW
from remotejob.domain.items import Step, applied, key_of
from remotejob.domain.locks import Held, Limit, limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.schedule import RECHECK
from remotejob.domain.times import span_ms
from remotejob.ports import Installation
from remotejob.sending import send_if_free

log = logging.getLogger(__name__)

_SKEW_MS: Final = span_ms(CLOCK_SKEW)
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """The job is claimed, under all its locks; this is its record."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Parked:
    """A lock is held: the job waits for it."""


@dataclass(frozen=True, slots=True)
class Met:
    """The record is not as it was read; this is what it is now, None if there is none."""

    record: JobRecord | None


@dataclass(frozen=True, slots=True)
class Contended:
    """The locks changed hands each time they were looked at."""


Outcome = Taken | Parked | Met | Contended


def claim_with_locks(
    record: JobRecord, change: Change, *, run_id: str, installation: Installation
) -> Outcome:
    """Carry out a claim together with the locks it needs, or park the job at one that is held."""
    store, clock = installation.store, installation.clock
    for _ in range(_TRIES):
        now = clock.now_ms()
        steps: list[Step] = []
        held_by_others: tuple[Limit, list[Held]] | None = None
        for limit in limits_of(record):
            held = holders(limit, installation)
            over = _over(held, record, installation, now_ms=now)
            found = locks.slots_to_take(limit, {one.key.name: one for one in held}, record, over)
            if found is None:
                held_by_others = limit, held
                break
            key, seen = found
            steps.append(locks.take(key, record, run_id, seen=seen))
            if seen is not None and seen.job_id != record.id:
                steps.append(locks.relieve(seen, over[seen], now_ms=now, skew_ms=_SKEW_MS))
        if held_by_others is None:
            conflict = store.transact([change, *_once_each(steps)])
            if conflict is None:
                return Taken(_after(change, record))
        else:
            limit, held = held_by_others
            conflict = store.transact(
                locks.park(
                    record,
                    limit,
                    held,
                    now_ms=now,
                    skew_ms=_SKEW_MS,
                    look_ms=now + span_ms(RECHECK),
                )
            )
            if conflict is None:
                return Parked()
        if conflict.step == 0:
            return Met(conflict.record)
    return Contended()


def let_go(record: JobRecord, installation: Installation) -> bool:
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
                installation.store.transact([locks.let_go(one)])
        # also when it was let go of before: whoever did may have died before waking anybody
        wake_and_send(limit, installation)
    return True


def wake_and_send(limit: Limit, installation: Installation) -> None:
    """Let the first job parked at a lock try again, if a slot is free for it."""
    woken = _wake(limit, installation)
    if woken is not None:
        send_if_free(installation.store.get(woken), installation)


def _wake(limit: Limit, installation: Installation) -> str | None:
    store, now = installation.store, installation.clock.now_ms()
    held = holders(limit, installation)
    if len(held) - len(_over(held, None, installation, now_ms=now)) >= limit.slots:
        return None
    for name, _item in store.items(limit.partition, locks.WAITERS):
        job_id = name.removeprefix(locks.WAITERS)
        if store.transact(locks.unpark(job_id, limit, stamp_ms=now)) is None:
            log.info("job woken: its lock is free", extra={"job": job_id})
            return job_id
        # paused, cancelled or removed while it waited; what is parked again keeps its item
        store.transact(locks.clear_waiter(job_id, limit))
    return None


def holders(limit: Limit, installation: Installation) -> list[Held]:
    """The slots of a lock that are taken, also by runs that are over."""
    items = installation.store.items(limit.partition, locks.SLOTS)
    return [Held.of(limit, name, item) for name, item in items]


def _over(
    held: Iterable[Held], record: JobRecord | None, installation: Installation, *, now_ms: int
) -> dict[Held, JobRecord | None]:
    """Those of the holders whose runs are not live any more, with their jobs."""
    others = [one for one in held if record is None or one.job_id != record.id]
    if not others:
        return {}
    records = {
        holder.id: holder for holder in installation.store.get_many([one.job_id for one in others])
    }
    return {
        one: records.get(one.job_id)
        for one in others
        if one.job_id not in records
        or not records[one.job_id].live(one.run_id, now_ms, skew_ms=_SKEW_MS)
    }


def _once_each(steps: list[Step]) -> list[Step]:
    """A transaction takes one step an item; two locks may be taken over from one holder."""
    return list({key_of(step): step for step in steps}.values())


def _after(change: Change, record: JobRecord) -> JobRecord:
    # exact, for the change was made on condition that the record is the one that was read
    return JobRecord.from_item({**applied(change, record.to_item())})
