"""The completion of a job: its result, and when its dependents may start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """How a run completed its job."""

    result: Any = None
    """Any value that JSON can write. A run whose result JSON cannot write fails when it ends."""
    delay_dependents: timedelta = timedelta(0)
    """How long the jobs that depend on it wait, at least, after it has completed.
    Source: job-collection, `delayDeps`."""
