"""The end of a job whose last time to begin is over: it fails, and says which limit it missed.

A worker finds it at the claim, which is refused. The scheduler finds it when it looks at a waiting
job, or at one whose worker died, and then wakes no worker for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.conditions import Absent, All, AtMost, Either, Is, Present, state_is
from remotejob.domain.lapses import lapse_of
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.run_changes import CLAIM, ended_failed
from remotejob.domain.start_limits import (
    JOB_EXPIRED,
    LIFTED_MS,
    in_words,
    last_start_ms,
    limit_name,
)
from remotejob.domain.states import Command, State, sources_of
from remotejob.domain.suspects import CLAIM_IN_COMPANY
from remotejob.domain.times import to_ms
from remotejob.names import Field

MISS: Final = Condition(
    name=Command.MISS.value,
    # Its time is over by one clock, and another worker's has a little left:
    #     A  claim ✗ (too late) ────────────── misses it ✗ (running under a live lease)
    #     B                      claim ✓ ── runs …
    # Or a person restarts it meanwhile, which lifts the limit: then its time stamp has changed.
    expression=All(
        EXISTS,
        state_is(*sources_of(Command.MISS)),
        # what it waits for may fail, and then it is cancelled
        Absent(Field.BLOCKED),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        Is(Field.UPDATED, "seen_updated"),
    ),
)

_NOT_ITS_TASKS: Final = Either(Present(Field.RETRY), Is(Field.START_BY, "lifted"))

CLAIM_OF_OLD_TASK: Final = Condition(
    name="claim_of_old_task",
    # As a claim, by a worker whose task's own policy ended with its `until`. Only a job with a
    # policy of its own, or one whose limit a person has lifted, may begin.
    expression=All(CLAIM.expression, _NOT_ITS_TASKS),
)

CLAIM_OF_OLD_TASK_IN_COMPANY: Final = Condition(
    name="claim_of_old_task_in_company",
    expression=All(CLAIM_IN_COMPANY.expression, _NOT_ITS_TASKS),
)


def unless_too_late(claim: Change, retry: Retry, *, now_ms: int) -> Change:
    """The claim, refused by jobs whose policy is the task's if that is over."""
    if retry.until is None or to_ms(retry.until) >= now_ms:
        return claim
    alone = claim.condition is CLAIM
    return replace(
        claim,
        condition=CLAIM_OF_OLD_TASK if alone else CLAIM_OF_OLD_TASK_IN_COMPANY,
        values={**claim.values, "lifted": LIFTED_MS},
    )


def miss(record: JobRecord, *, now_ms: int, skew_ms: int, until_ms: int | None = None) -> Change:
    """Fail a job whose last time to begin is over.

    `until_ms` is the limit of its task's own policy; by default the record's. The run of a worker
    that died is counted as ever.
    """
    limit_ms = last_start_ms(record) if until_ms is None else until_ms
    assert limit_ms is not None, f"{record.id} has no limit"
    failure = Failure(
        run_id=record.run_id or "",
        attempt=record.attempt,
        at_ms=now_ms,
        kind=JOB_EXPIRED,
        message=_why(record, limit_ms, of_task=until_ms is not None),
    )
    missed = Change(
        job_id=record.id,
        condition=MISS,
        values={"lapsed": now_ms - skew_ms, "seen_updated": record.updated_ms},
        set=ended_failed(record, failure, max(now_ms, record.updated_ms)),
        remove=(Field.LEASE, Field.PARKED),
    )
    if record.state is not State.RUNNING:
        return missed
    lapse = lapse_of(record, now_ms=now_ms, skew_ms=skew_ms)
    return replace(
        missed,
        condition=lapse.condition,
        values=lapse.values,
        set={**lapse.set, **missed.set},
        add=lapse.add,
    )


def _why(record: JobRecord, limit_ms: int, *, of_task: bool) -> str:
    limit = "`until` of its task's retry policy" if of_task else limit_name(record, limit_ms)
    if record.state is State.RUNNING:
        how = "its last run was lost, and no other may begin"
    elif record.attempt:
        how = "no other run began in time"
    else:
        how = "no run began in time"
    return (
        f"{how}: {limit} was {in_words(limit_ms)}; restart it to run it all the same, or submit it "
        "with a later limit"
    )
