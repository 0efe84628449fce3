"""What the scheduler does for jobs whose queue is not deployed."""

from __future__ import annotations

import logging

from remotejob.domain import without_queue
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)


def keep_or_fail(record: JobRecord, installation: Installation) -> bool:
    """Note that the job's queue is missed, or fail the job if it has been for too long.

    Returns whether it was failed. Raises: StoreUnavailable; the next tick goes on.
    """
    now = installation.clock.now_ms()
    fails_at = without_queue.fails_at_ms(record)
    if fails_at is None:
        log.warning("queue %r is not deployed", record.queue, extra=log_fields(record))
        installation.store.update(without_queue.missed(record, now_ms=now))
        return False
    if now < fails_at:
        return False
    change = without_queue.fail(record, now_ms=now, skew_ms=span_ms(installation.skew))
    outcome = installation.store.update(change)
    if not isinstance(outcome, Updated):
        # it was changed meanwhile
        return False
    log.error(
        "failed: queue %r was removed, and did not come back",
        record.queue,
        extra=log_fields(record),
    )
    # what is left undone is marked as owed, and the next tick does it
    carry_out([outcome.record], installation)
    return True
