"""Jobs whose pending message was given up, and went to the dead-letter queue.

The message was the promise that a worker handles the job. The scheduler sends another one and notes
why. A job whose messages are given up again and again, though nothing else keeps it from running,
is failed: something about it stops every worker before it can claim the job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from remotejob.domain.changes import EXISTS, UNHINDERED, Change, Condition
from remotejob.domain.conditions import Absent, All, AtMost, Either, Is, state_is
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.run_changes import ended_failed
from remotejob.domain.states import State
from remotejob.domain.text import counted, cut
from remotejob.domain.upkeep_changes import swept
from remotejob.names import Field

GIVEN_UP: Final = "MessageGivenUp"
"""Kind of the failure in the record of a job whose message was given up."""

GIVEN_UP_BUDGET: Final = 5
"""Messages of one job that may be given up. Each was received a thousand times, for most of a day:
five of them outlast an outage of several days."""

_LONGEST_WHY: Final = 150

GIVE_UP: Final = Condition(
    name="give_up",
    # A worker may claim the job while the scheduler decides:
    #     S  reads the record ─────────── gives up ✗ (running under a live lease)
    #     A                     claim ✓ ── runs …
    # Or it ran and came back meanwhile: then its time has changed.
    expression=All(
        EXISTS,
        Either(
            state_is(State.READY, State.RUNNING),
            All(state_is(State.WAITING), AtMost(Field.DUE, "now"), *UNHINDERED),
        ),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        Is(Field.UPDATED, "seen_updated"),
    ),
)


def budget_left(record: JobRecord) -> bool:
    """Whether another message may be sent after the one that was just given up."""
    return record.given_up < GIVEN_UP_BUDGET


def sent_again(record: JobRecord, *, why: str | None, now_ms: int) -> Change:
    """Note that another message was sent at `now_ms` in the place of one that was given up.

    `why` says why it was given up; None if that says nothing against the job, and is not counted.
    As after a sweep, the next sweep sends no other message for a day.
    """
    change = swept(record, now_ms=now_ms)
    if why is None:
        return change
    noted = {**change.set, Field.ERRORS: _noted(record, _again(record, why), now_ms=now_ms)}
    return replace(change, set=noted, add={Field.GIVEN_UP: 1})


def give_up(record: JobRecord, *, why: str, now_ms: int, skew_ms: int) -> Change:
    """Fail a job whose messages were given up too often, including this time."""
    times = counted(record.given_up + 1, "message")
    message = f"{times} of this job were given up, and no worker ran it: {cut(why, _LONGEST_WHY)}"
    failure = _failure(record, message, now_ms=now_ms)
    before = [error for error in record.errors if error.kind != GIVEN_UP]
    ends = ended_failed(record, failure, max(now_ms, record.updated_ms))
    return Change(
        job_id=record.id,
        condition=GIVE_UP,
        values={
            "now": now_ms,
            "lapsed": now_ms - skew_ms,
            "seen_updated": record.updated_ms,
        },
        set={**ends, Field.ERRORS: errors_to_json((*before, failure))},
        add={Field.GIVEN_UP: 1},
        remove=(Field.LEASE,),
    )


def _again(record: JobRecord, why: str) -> str:
    number = record.given_up + 1
    return (
        f"its message was given up ({number} of {GIVEN_UP_BUDGET} that may be), and another was "
        f"sent: {cut(why, _LONGEST_WHY)}"
    )


def _noted(record: JobRecord, message: str, *, now_ms: int) -> str:
    """The errors with one note of this kind, the latest."""
    earlier = [error for error in record.errors if error.kind != GIVEN_UP]
    return errors_to_json((*earlier, _failure(record, message, now_ms=now_ms)))


def _failure(record: JobRecord, message: str, *, now_ms: int) -> Failure:
    return Failure(run_id="", attempt=record.attempt, at_ms=now_ms, kind=GIVEN_UP, message=message)
