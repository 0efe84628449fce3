"""When the scheduler looks after a job that waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.times import span_ms

GRACE: Final = timedelta(minutes=2)
"""How long after a message should have been seen to the scheduler sends another."""

LOOKAHEAD: Final = timedelta(minutes=2)
"""How long before its due time a far job is sent for, with what is left as the message's delay.
Twice the scheduler's period, so that one late run of it delays no job."""

RECHECK: Final = timedelta(minutes=10)
"""How often the scheduler looks at what a blocked job waits for."""


def first_look(due_ms: int, *, now_ms: int, max_delay: timedelta) -> int:
    """When to look after a job that becomes due: a message within the queue's reach is already on
    its way and is looked after once overdue; a farther one is the scheduler's to send."""
    if due_ms - now_ms <= span_ms(max_delay):
        return due_ms + span_ms(GRACE)
    return due_ms - span_ms(LOOKAHEAD)
