"""When the scheduler checks a waiting job."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.times import span_ms

GRACE: Final = timedelta(minutes=2)
"""How long a message may be overdue before the scheduler sends another."""

LOOKAHEAD: Final = timedelta(minutes=2)
"""How long before a distant due time the scheduler sends the message, delayed by the rest.
Twice the scheduler's period, so one late tick delays no job."""

RECHECK: Final = timedelta(minutes=10)
"""How often the scheduler checks the jobs that a blocked job waits for."""


def first_look(due_ms: int, *, now_ms: int, max_delay: timedelta) -> int:
    """When the scheduler first checks a job that is due later.

    Within the queue's longest delay, a message is already on its way: check once it is overdue.
    Beyond it, the scheduler has to send one.
    """
    if due_ms - now_ms <= span_ms(max_delay):
        return due_ms + span_ms(GRACE)
    return due_ms - span_ms(LOOKAHEAD)
