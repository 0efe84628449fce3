"""The completion of a job: its result, and when its dependents may start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta

_LONGEST_DELAY: Final = timedelta(days=365)


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """How a run completed its job."""

    result: Any = None
    """Any value that JSON can write. A run whose result JSON cannot write fails when it ends."""
    delay_dependents: timedelta = timedelta(0)
    """How long the jobs that depend on it wait, at least, after it has completed; a year at most.
    Source: job-collection, `delayDeps`."""

    def __post_init__(self) -> None:
        """Raises: InvalidData, for another delay: a record could not hold it."""
        delay = check_timedelta("delay_dependents", self.delay_dependents)
        if not timedelta(0) <= delay <= _LONGEST_DELAY:
            raise InvalidData(
                f"delay_dependents={shown(delay)}: use timedelta(0) to timedelta(days=365)"
            )
