"""What a worker does with the message of a job it could not claim.

A pure function from the record that refused the claim to a verdict, so tests cover every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.domain.record import JobRecord
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


Verdict = Reclaim | Expire | ClaimAgain | ClaimLocked | Hide | Wait | Conclude | Drop


def budget_spent(record: JobRecord) -> bool:
    """Whether this run, whose lease has ended, spends the last of one of the job's budgets."""
    if record.lost:
        return record.lost_leases + 1 >= LOST_LEASE_BUDGET
    # the lost leases of earlier runs may have been counted after the next run began
    return record.crashes + 1 >= CRASH_BUDGET or record.lost_leases >= LOST_LEASE_BUDGET


def after_refused_claim(
    record: JobRecord | None, *, now_ms: int, skew: timedelta = CLOCK_SKEW
) -> Verdict:
    """The verdict, given the record that refused the claim; None if no record exists."""
    if record is None:
        return Drop("there is no such job")
    if record.terminal:
        return Conclude(record)
    lapses_ms = None if record.lease_ms is None else record.lease_ms + span_ms(skew)
    if lapses_ms is not None and lapses_ms > now_ms:
        return Hide(lapses_ms)
    if record.state is State.RUNNING:
        return Expire(record) if budget_spent(record) else Reclaim(record)
    if record.state is State.PAUSED:
        return Drop("the job is paused")
    if record.blocked:
        return Drop("the job waits for others")
    if record.parked:
        return Drop("the job waits for its lock")
    if not record.runnable(now_ms) and record.due_ms is not None:
        return Wait(record.due_ms)
    return ClaimLocked(record) if record.locked else ClaimAgain(max(now_ms, record.updated_ms))
