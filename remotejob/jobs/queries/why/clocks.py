"""Clocks that are wrong: this machine's, as AWS's answers show it, and those of workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from remotejob.domain.record import JobRecord
from remotejob.jobs.queries.why.reasons import Reason, Why
from remotejob.jobs.queries.workers import WorkerStatus
from remotejob.ports import Installation

_RESOLUTION: Final = timedelta(seconds=2)
"""AWS's answers have the time in whole seconds, and take a moment to come."""

_BY_THE_CLOCK: Final = (
    None,
    Why.DUE,
    Why.RETRY,
    Why.RUNNING,
    Why.WORKER_SILENT,
    Why.WINDING_DOWN,
)
"""What is judged by this machine's clock; None stands for all that comes after the record."""

_SYNCHRONIZE: Final = (
    "let it take its time from the network: NTP, chrony, or on EC2 the Amazon Time Sync Service"
)


def own_clock(found: Reason | None, record: JobRecord, installation: Installation) -> Reason | None:
    """The reason that this machine's clock is wrong, if what was found is judged by it."""
    ahead = installation.clock_ahead
    if ahead is None or abs(ahead) <= installation.skew + _RESOLUTION:
        return None
    if (None if found is None else found.code) not in _BY_THE_CLOCK:
        return None
    said = f"; by that clock, {found}" if found is not None else ""
    return Reason(
        code=Why.CLOCK_SKEW,
        text=f"the clock of this machine is {_by(ahead)} of AWS's, so job {record.id} cannot be "
        f"judged{said}",
        remedy=f"{_SYNCHRONIZE}; then ask again",
        details={"worker": None, "ahead_seconds": round(ahead.total_seconds())},
    )


def workers_clock(able: Sequence[WorkerStatus], installation: Installation) -> Reason | None:
    """The reason that the clocks of all workers that could run the job are wrong."""
    allowed = installation.skew + _RESOLUTION
    if not able or any(abs(one.clock_ahead) <= allowed for one in able):
        return None
    worst = max(able, key=lambda one: abs(one.clock_ahead))
    return Reason(
        code=Why.CLOCK_SKEW,
        text=f"the clock of worker {worst.name} is at least {_by(worst.clock_ahead)} of this "
        "machine's, so it takes what is due for not due, or a held lease for a lapsed one",
        remedy=f"on the worker's machine, {_SYNCHRONIZE}; if all workers differ by as much, it is "
        "this machine's clock",
        details={
            "worker": worst.name,
            "ahead_seconds": round(worst.clock_ahead.total_seconds()),
        },
    )


def _by(ahead: timedelta) -> str:
    seconds = round(abs(ahead).total_seconds())
    return f"{seconds} s {'ahead' if ahead > timedelta(0) else 'behind'}"
