"""Send again for the latest jobs, where their messages may be lost.

A system that goes on from a copy of its data may have the record of a job whose message came too
late for the copy. The sweep would find it, after hours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.ids import first_id_at, partition
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.messaging.send import send_for
from remotejob.names import SHARDS
from remotejob.ports import Installation

_SUBMITTING: Final = timedelta(minutes=1)
"""How long the submission of many jobs may take, from the first id to the last message."""


def resend_latest(installation: Installation, *, copied_ms: int) -> int:
    """Send for the jobs made within a minute before the copy that no worker has begun.

    `copied_ms` is when the copy was made, Unix time. A job that has its message gets a second one,
    which does no harm. Whatever else waits is found by the scheduler within a minute. Returns the
    number of jobs. Raises: QueueUnavailable.
    """
    since_ms = copied_ms - span_ms(_SUBMITTING)
    days = {from_ms(moment).date() for moment in (since_ms, copied_ms)}
    ready = [
        record
        for day in sorted(days)
        for shard in range(SHARDS)
        for record in installation.store.listing(partition(day, shard), after=first_id_at(since_ms))
        if record.state is State.READY
    ]
    send_for(ready, installation)
    return len(ready)
