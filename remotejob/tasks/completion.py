"""What is said of a job when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """How a run completed its job."""

    result: Any = None
    """Anything JSON can write; it is checked when the run ends, and one it cannot write fails it.
    """
    delay_dependents: timedelta = timedelta(0)
    """How long after this end the jobs that depend on it become due, at the earliest.
    Source: job-collection, `delayDeps`."""
