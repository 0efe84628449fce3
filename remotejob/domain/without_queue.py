"""Jobs of a queue that was taken out of the settings: they wait for a while, then they fail.

A queue may be gone by mistake, or because the settings of another branch were deployed. So a job
is noted first, and fails only if its queue is still gone a week later.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.changes import Change
from remotejob.domain.given_up import GIVE_UP
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.run_changes import ended_failed
from remotejob.domain.times import from_ms, span_ms
from remotejob.domain.upkeep_changes import noted
from remotejob.names import Field

NO_QUEUE: Final = "QueueNotDeployed"
"""Kind of the note in the record of a job whose queue is not deployed."""

QUEUE_REMOVED: Final = "QueueRemoved"
"""Kind of the failure of a job whose queue did not come back."""

KEPT_FOR: Final = timedelta(days=7)
"""How long a job waits for its queue to come back, from when the scheduler first missed it."""


def fails_at_ms(record: JobRecord) -> int | None:
    """When a job without a queue fails; None if the scheduler has not missed its queue yet.

    What happened to the job since then shows that the queue was back.
    """
    missed = next((error.at_ms for error in record.errors if error.kind == NO_QUEUE), None)
    if missed is None or record.updated_ms > missed:
        return None
    return missed + span_ms(KEPT_FOR)


def missed(record: JobRecord, *, now_ms: int) -> Change:
    """Note that a job's queue is not deployed."""
    until = from_ms(now_ms + span_ms(KEPT_FOR)).isoformat()
    why = f"queue {record.queue!r} is not deployed; the job fails at {until} unless it is back"
    return noted(record, kind=NO_QUEUE, why=why, now_ms=now_ms)


def fail(record: JobRecord, *, now_ms: int, skew_ms: int) -> Change:
    """Fail a job whose queue did not come back. A job that repeats gets no successor."""
    message = (
        f"queue {record.queue!r} was removed, and did not come back in {KEPT_FOR.days} days; "
        "deploy it again and restart the job, or replay it in another queue"
    )
    failure = Failure(
        run_id="", attempt=record.attempt, at_ms=now_ms, kind=QUEUE_REMOVED, message=message
    )
    return Change(
        job_id=record.id,
        condition=GIVE_UP,
        values={
            "now": now_ms,
            "lapsed": now_ms - skew_ms,
            "seen_updated": record.updated_ms,
        },
        set=ended_failed(record, failure, max(now_ms, record.updated_ms)),
        remove=(Field.LEASE,),
    )
