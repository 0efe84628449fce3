"""The workers of a queue, as their last signs of life describe them.

Source: forerunner, the manifest of a worker and `status`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from remotejob.domain.times import from_ms, span_ms
from remotejob.ports import Installation

BUSY: Final = timedelta(minutes=1)
"""Between two signs of a worker that has jobs, and before one that has none any more says so."""

GRACE: Final = timedelta(minutes=1)
"""How late a sign may be before its worker is thought dead."""

KEPT: Final = timedelta(days=2)
"""How long a worker is remembered that has stopped, or fell silent while it was busy."""

KEPT_IDLE: Final = timedelta(days=30)
"""How long one is that was idle when it gave its last sign: it may live on."""

SIGN: Final = "sign#"
_PARTITION: Final = "workers#"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningNow:
    """A job a worker was at when it last gave a sign."""

    job_id: str
    task: str
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStatus:
    """A worker, as it last said."""

    name: str
    queue: str
    abilities: tuple[str, ...]
    """The tasks it runs."""
    concurrency: int
    """Jobs at a time."""
    version: str
    """Of this library."""
    started_at: datetime
    seen_at: datetime
    """Its last sign."""
    running: tuple[RunningNow, ...]
    """At its last sign; a hundred at most."""
    stopped: bool
    """Whether it said that it stops."""
    draining: bool
    """Whether it said that it takes no more jobs: it stops when those it has are finished."""
    alive: bool | None
    """Whether it lives: a sign that is not overdue says so. False when it has stopped, or was busy
    and its next sign is overdue. None when it was idle, and so gives none: only ECS knows."""

    @property
    def takes_jobs(self) -> bool:
        """Whether it may take another job: it lives, as far as is known, and does not drain."""
        return self.alive is not False and not self.draining


def kept_for(sign: dict[str, Any]) -> timedelta:
    """How long a worker is remembered after that sign."""
    return KEPT if sign["running"] or "stopped" in sign else KEPT_IDLE


def partition_of(queue: str) -> str:
    """Where the signs of a queue's workers lie."""
    return f"{_PARTITION}{queue}"


def workers(installation: Installation, queue: str) -> list[WorkerStatus]:
    """The workers of a queue that gave a sign lately, whoever was seen last first."""
    now_ms = installation.clock.now_ms()
    notes = installation.store.notes(partition_of(queue), SIGN)
    found = [_read(name.removeprefix(SIGN), queue, text, now_ms) for name, text in notes]
    # items outlive their time by days
    return sorted(
        (status for status in found if status is not None),
        key=lambda status: status.seen_at,
        reverse=True,
    )


def _read(name: str, queue: str, text: str, now_ms: int) -> WorkerStatus | None:
    """What a sign says now; None when it is so old that it says nothing."""
    sign: dict[str, Any] = json.loads(text)
    stopped = "stopped" in sign
    silent_ms = now_ms - sign["seen"]
    if silent_ms >= span_ms(kept_for(sign)):
        return None
    return WorkerStatus(
        name=name,
        queue=queue,
        abilities=tuple(sign["abilities"]),
        concurrency=sign["concurrency"],
        version=sign["version"],
        started_at=from_ms(sign["started"]),
        seen_at=from_ms(sign["seen"]),
        running=tuple(
            RunningNow(job_id=job_id, task=task, since=from_ms(since))
            for job_id, task, since in sign["running"]
        ),
        stopped=stopped,
        draining="draining" in sign and not stopped,
        alive=_alive(sign, silent_ms),
    )


def _alive(sign: dict[str, Any], silent_ms: int) -> bool | None:
    if "stopped" in sign:
        return False
    if silent_ms <= span_ms(BUSY + GRACE):
        return True
    return False if sign["running"] else None
