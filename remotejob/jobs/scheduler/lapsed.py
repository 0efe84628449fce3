"""Running jobs whose worker fell silent, and the time limit that all scheduler passes share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from remotejob.domain.claim_decisions import budget_spent
from remotejob.domain.odd_items import end_lease
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.successors import expire
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


def expire_spent(lapsed: Sequence[JobRecord], installation: Installation) -> int:
    """Fail the jobs whose workers died too often, with the consequences; return how many."""
    now = installation.clock.now_ms()
    ended = []
    for record in lapsed:
        if not budget_spent(record):
            continue
        try:
            outcome = expire(record, installation, now_ms=now)
            # the record may be a later one: restarted, it has nothing to carry out
            if isinstance(outcome, Updated) and outcome.record.terminal:
                ended.append(outcome.record)
        except Exception:
            # its mark or its next sweep tries again; the others have their turn
            log.exception("job not failed", extra=log_fields(record))
    carry_out(ended, installation)
    return len(ended)
