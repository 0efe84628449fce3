"""Changes that put odd items of ours right, so that they stop nothing: leases, locks, keys, heads.

An odd item has attributes of other types than we write, or a lease that no run can hold. A newer
version may have written it, or something other than this library.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.conditions import (
    Absent,
    All,
    AtLeast,
    AtMost,
    Either,
    Is,
    IsNot,
    IsNotNumber,
    IsNotText,
)
from remotejob.domain.locks import Held
from remotejob.domain.record import LONGEST_LEASE_MS, JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Check, Put, record_key
from remotejob.names import Field

BEYOND_SENSE: Final = Condition(
    name="beyond_sense",
    # A heartbeat may put a sensible end in its place; then nothing is ended:
    #     A  runs ── (an odd lease is written) ── heartbeat ✓
    #     B                                                     ends the odd lease ✗
    expression=All(EXISTS, Is(Field.LEASE, "seen_lease")),
)

ODD_SLOT: Final = Condition(
    name="odd_slot",
    # A lock that names no job or no run has no holder. Two may take it at once:
    #     A  takes the odd slot ✓
    #     B  takes the odd slot ✗ (it names A's run now)
    expression=Either(IsNotText(Field.JOB), IsNotText(Field.RUN)),
)

NO_LIVE_RUN: Final = Condition(
    name="no_live_run",
    # As `not_live`, of a holder whose record cannot be read: DynamoDB compares what it has.
    expression=Either(
        Absent(Field.LEASE),
        AtMost(Field.LEASE, "lapsed"),
        AtLeast(Field.LEASE, "latest"),
        IsNotNumber(Field.LEASE),
        IsNot(Field.RUN, "holders_run"),
    ),
)

ODD_KEY: Final = Condition(name="odd_key", expression=IsNotText(Field.JOB))
"""An idempotency key that names no job is free."""

ODD_HEAD: Final = Condition(name="odd_head", expression=IsNotNumber(Field.HEAD))
"""The head of repeats has no generation, as if they were never replaced."""

_LONG_AGO: Final = 0


def end_lease(record: JobRecord) -> Change:
    """End a lease that is beyond sense (`JobRecord.lease_beyond_sense`)."""
    assert record.lease_ms is not None
    return Change(
        job_id=record.id,
        condition=BEYOND_SENSE,
        values={"seen_lease": record.lease_ms},
        set={Field.LEASE: _LONG_AGO},
    )


def take_odd(taking: Put) -> Put:
    """Take a slot whose item names no holder."""
    return replace(taking, condition=ODD_SLOT, values={})


def check_no_live_run(held: Held, *, now_ms: int, skew: timedelta) -> Check:
    """Check that a run is not live, whose job's record cannot be read or does not exist."""
    return Check(
        key=record_key(held.job_id),
        condition=NO_LIVE_RUN,
        values={
            "lapsed": now_ms - span_ms(skew),
            "latest": now_ms + LONGEST_LEASE_MS,
            "holders_run": held.run_id,
        },
    )
