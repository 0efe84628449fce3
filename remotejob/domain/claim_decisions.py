"""What a worker does with the message of a job it could not claim.

A pure function from the record that refused the claim to a verdict, so tests cover every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.domain.record import JobRecord
from remotejob.domain.retry import NO_RETRY, Retry
from remotejob.domain.start_limits import counts_from_due, last_start_ms, until_over_ms
from remotejob.domain.states import State
from remotejob.domain.times import span_ms

CRASH_BUDGET: Final = 3
"""Worker deaths one job may cause before it is failed."""

LOST_LEASE_BUDGET: Final = 20
"""Leases that workers which live may lose of one job before it is failed. A bad network loses many
and harms nothing, but a job that loses each of its leases would run for ever."""

CLOCK_SKEW: Final = timedelta(seconds=2)
"""How far two machines' clocks may differ, by default. A lease counts as lapsed only this long
after its end."""

NO_TASK: Final = "NoSuchTask"
"""Kind of the failure in the record of a job whose message was set aside, because it was passed on
for a day and no worker has its task."""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Its lease has ended: claim it, and count a crash, or a lost lease if its worker lives."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Expire:
    """Its workers died, or lost its lease, too often: fail it."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Miss:
    """No run may begin any more: fail it."""

    record: JobRecord
    until_ms: int | None = None
    """The limit of its task's own policy, if that is the one that is over."""


@dataclass(frozen=True, slots=True)
class ClaimFromDue:
    """Nothing is in the way, but its limit counts from its due time, and is not written yet."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class ClaimAgain:
    """Only a clock behind the record's was in the way: claim with the record's time."""

    stamp_ms: int


@dataclass(frozen=True, slots=True)
class ClaimLocked:
    """Nothing is in the way, but the job needs a lock to run."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Hide:
    """Another run holds it: hide the message until that lease would end."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet due: replace the message with a delayed one, or leave it to the scheduler."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Conclude:
    """It has ended: carry out the consequences again, then delete the message."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete the message; making the job runnable sends a new one."""

    reason: str


Verdict = (
    Reclaim
    | Expire
    | Miss
    | ClaimAgain
    | ClaimFromDue
    | ClaimLocked
    | Hide
    | Wait
    | Conclude
    | Drop
)


def budget_spent(record: JobRecord) -> bool:
    """Whether this run, whose lease has ended, spends the last of one of the job's budgets."""
    if record.at_most_once:
        return True
    if record.lost:
        return record.lost_leases + 1 >= LOST_LEASE_BUDGET
    # the lost leases of earlier runs may have been counted after the next run began
    return record.crashes + 1 >= crash_budget(record) or record.lost_leases >= LOST_LEASE_BUDGET


def crash_budget(record: JobRecord) -> int:
    """The deaths of its worker that fail a job: one more than it may survive."""
    return CRASH_BUDGET if record.crash_limit is None else record.crash_limit + 1


def after_refused_claim(
    record: JobRecord | None,
    *,
    now_ms: int,
    skew: timedelta = CLOCK_SKEW,
    retry: Retry = NO_RETRY,
) -> Verdict:
    """The verdict, given the record that refused the claim; None if no record exists.

    `retry` is the policy of its task.
    """
    if record is None:
        return Drop("there is no such job")
    if record.terminal:
        return Conclude(record)
    lapses_ms = None if record.lease_ms is None else record.lease_ms + span_ms(skew)
    if lapses_ms is not None and lapses_ms > now_ms:
        return Hide(lapses_ms)
    running = record.state is State.RUNNING
    if running and budget_spent(record):
        return Expire(record)
    held_back = None if running else _held_back(record, now_ms)
    ended = held_back or _if_too_late(record, retry, now_ms=now_ms, skew=skew)
    if ended is not None:
        return ended
    return Reclaim(record) if running else _claim_as_seen(record, now_ms)


def _held_back(record: JobRecord, now_ms: int) -> Drop | Wait | None:
    """The verdict on a job that something besides a lease or a limit keeps from running."""
    if record.state is State.PAUSED:
        return Drop("the job is paused")
    if record.blocked:
        return Drop("the job waits for others")
    if record.parked:
        return Drop("the job waits for its lock")
    if not record.runnable(now_ms) and record.due_ms is not None:
        return Wait(record.due_ms)
    return None


def _claim_as_seen(record: JobRecord, now_ms: int) -> ClaimLocked | ClaimFromDue | ClaimAgain:
    if record.locked:
        return ClaimLocked(record)
    if counts_from_due(record):
        return ClaimFromDue(record)
    return ClaimAgain(max(now_ms, record.updated_ms))


def _if_too_late(
    record: JobRecord, retry: Retry, *, now_ms: int, skew: timedelta
) -> Miss | Hide | None:
    """The verdict on a job whose last time to begin is over; None if it is not.

    Another machine's clock may be behind: until it must be over by that one too, the job may begin
    there and is not failed here.
    """
    of_task = until_over_ms(record, retry, now_ms=now_ms)
    limit_ms = last_start_ms(record)
    if limit_ms is None or limit_ms >= now_ms:
        limit_ms = of_task
    if limit_ms is None:
        return None
    over_ms = limit_ms + span_ms(skew)
    if over_ms >= now_ms:
        return Hide(over_ms + 1)
    return Miss(record, until_ms=of_task if limit_ms == of_task else None)
