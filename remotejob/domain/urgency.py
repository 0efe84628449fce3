"""How urgently something that works on jobs is to stop."""

from __future__ import annotations

from enum import StrEnum


class Urgency(StrEnum):
    """How a worker, or a processor of jobs by hand, is shut down.

    Source: meteor-job, `q.shutdown`; redis-dist-job-queue, `shutdown`.
    """

    SOFT = "soft"
    """Finish all jobs it has. A worker gives back those that have not begun."""

    NORMAL = "normal"
    """Finish those that have begun, give back the others. A worker has only its grace for it."""

    HARD = "hard"
    """Give back all of them at once."""

    def after(self, before: Urgency | None) -> Urgency:
        """What is asked for when this is asked for after `before`: never less, and the second
        time normal is hard, as whoever asks again is in a hurry."""
        if before is None:
            return self
        if self is before is Urgency.NORMAL:
            return Urgency.HARD
        return max(before, self, key=list(Urgency).index)
