"""Jobs that no worker will run again, silent workers, and the time limit of all passes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from remotejob.domain.claim_decisions import budget_spent
from remotejob.domain.odd_items import end_lease
from remotejob.domain.record import JobRecord
from remotejob.domain.start_limits import last_start_ms, too_late
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.successors import expire, miss
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)

Deadline = Callable[[], bool]
"""Whether the time is up."""


def never() -> bool:
    """The `Deadline` of a pass without a time limit."""
    return False


def lease_lapsed(record: JobRecord, now_ms: int, *, skew: timedelta) -> bool:
    """Whether a job is running and its worker's lease has ended, allowing for clock skew."""
    lease = record.lease_ms
    return record.state is State.RUNNING and lease is not None and lease + span_ms(skew) <= now_ms


def with_sensible_lease(record: JobRecord, installation: Installation) -> JobRecord:
    """The record, whose lease is ended if it ends later than any run's can."""
    if not record.lease_beyond_sense(installation.clock.now_ms()):
        return record
    log.warning("lease beyond sense: ended", extra=log_fields(record))
    return installation.store.update(end_lease(record)).record or record


def runs_no_more(record: JobRecord, now_ms: int, *, skew: timedelta) -> bool:
    """Whether the scheduler has to fail a job that waits, or whose lease has lapsed.

    Its workers died too often, or its last time to begin is over.
    """
    spent = record.state is State.RUNNING and budget_spent(record)
    return spent or too_late(record, now_ms=now_ms, skew_ms=span_ms(skew))


def fail_ended(records: Sequence[JobRecord], installation: Installation) -> int:
    """Fail the jobs among these that run no more, with the consequences; return how many.

    No worker has to be woken to find the same at its claim.
    """
    now = installation.clock.now_ms()
    ended = []
    for record in records:
        if not runs_no_more(record, now, skew=installation.skew):
            continue
        spent = record.state is State.RUNNING and budget_spent(record)
        try:
            outcome = (expire if spent else miss)(record, installation, now_ms=now)
            # the record may be a later one: restarted, it has nothing to carry out
            if isinstance(outcome, Updated) and outcome.record.terminal:
                ended.append(outcome.record)
        except Exception:
            # its mark or its next sweep tries again; the others have their turn
            log.exception("job not failed", extra=log_fields(record))
    carry_out(ended, installation)
    return len(ended)


def waits_in_vain(records: Sequence[JobRecord], installation: Installation) -> set[str]:
    """The waiting jobs that no run may begin of any more; a blocked one may yet be cancelled."""
    now = installation.clock.now_ms()
    return {
        record.id
        for record in records
        if record.state is State.WAITING
        and not record.blocked
        and runs_no_more(record, now, skew=installation.skew)
    }


def by_its_limit(record: JobRecord, check_ms: int, installation: Installation) -> int:
    """When to check a job, so that it is failed soon after its last time to begin."""
    last = last_start_ms(record)
    over_ms = check_ms if last is None else last + span_ms(installation.skew) + 1
    return min(check_ms, over_ms) if over_ms > installation.clock.now_ms() else check_ms
