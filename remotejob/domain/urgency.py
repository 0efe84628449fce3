"""How urgently a worker or a processor has to stop."""

from __future__ import annotations

from enum import StrEnum


class Urgency(StrEnum):
    """How to shut down a worker, or a processor of jobs by hand.

    Source: meteor-job, `q.shutdown`; redis-dist-job-queue, `shutdown`.
    """

    SOFT = "soft"
    """Finish all jobs it has. A worker gives back jobs that have not started."""

    NORMAL = "normal"
    """Finish the jobs that have started, give back the rest. A worker has only its grace period."""

    HARD = "hard"
    """Give back all jobs at once."""

    def after(self, before: Urgency | None) -> Urgency:
        """The urgency of a second request, after `before`: never lower.

        A repeated `NORMAL` becomes `HARD`: asking again means being in a hurry.
        """
        if before is None:
            return self
        if self is before is Urgency.NORMAL:
            return Urgency.HARD
        return max(before, self, key=list(Urgency).index)
