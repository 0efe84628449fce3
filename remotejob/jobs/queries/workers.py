"""The workers of a queue, as their last signs of life describe them.

Source: forerunner, the manifest of a worker and `status`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.text import shown
from remotejob.domain.times import from_ms, span_ms
from remotejob.domain.unreadable import reading_item
from remotejob.names import Partition
from remotejob.ports import Installation

BUSY: Final = timedelta(minutes=1)
"""Interval between signs of a worker that has jobs; and how soon an idle one reports that it is."""

IDLE: Final = timedelta(minutes=5)
"""Interval between signs of an idle worker: rarely, because each costs a write."""

GRACE: Final = timedelta(minutes=1)
"""How late a sign may be before its worker counts as dead."""

KEPT: Final = timedelta(days=2)
"""How long a worker is remembered after it stopped, or fell silent while busy."""

KEPT_IDLE: Final = timedelta(days=30)
"""How long a worker is remembered after an idle last sign."""

KEPT_FAILED: Final = timedelta(days=1)
"""How long a worker that could not start is remembered, unless another one starts."""

DISK: Final = "disk"
BUDGET: Final = "budget"
STOPPED: Final = "stopped"
"""What a worker may be short of."""

_CLOCKS_AHEAD: Final = timedelta(hours=1)
"""A worker whose sign is further ahead would count as alive for ever."""

SIGN: Final = "sign#"

_OPTIONAL_TEXTS: Final = ("short", "cannot_start", "trouble", "task")
_OPTIONAL_NUMBERS: Final = ("behind_ms",)
_OPTIONAL_LISTS: Final = ("short_of",)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningNow:
    """A job that a worker was running at its last sign."""

    job_id: str
    task: str
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStatus:
    """A worker, as of its last sign."""

    name: str
    queue: str
    abilities: tuple[str, ...]
    """The tasks it runs."""
    concurrency: int
    """How many jobs it runs at a time."""
    version: str
    """Version of this library."""
    started_at: datetime
    seen_at: datetime
    """When it gave its last sign."""
    age: timedelta = field(compare=False)
    """How long ago that was, when this was read."""
    running: tuple[RunningNow, ...]
    """Its jobs at its last sign; at most 100."""
    stopped: bool
    """Whether it reported that it stops."""
    draining: bool
    """Whether it reported that it takes no more jobs and stops once its current ones end."""
    shortage: str | None
    """Why it takes no jobs though it lives, such as a full disk; None if nothing is short."""
    short_of: tuple[str, ...] = ()
    """What is short: `DISK`, `BUDGET`, `STOPPED` (its queue is), or what it may not do."""
    trouble: str | None = None
    """What it could not do at its last sign, such as handle messages, and why."""
    ecs_task: str | None = None
    """Id of its task in ECS; None if it runs elsewhere, or does not know it."""
    clock_ahead: timedelta = field(default=timedelta(0), compare=False)
    """How far at least its clock is ahead of this machine's; negative if it is behind. 0 if they
    may agree."""
    cannot_start: str | None
    """Why it could not start, with the remedy; None if it did. Only the last such worker of a queue
    is listed, until another one starts."""
    alive: bool | None
    """True while its next sign as a busy worker would not be overdue. False if it has stopped, or
    its next sign is overdue. None if it was idle, and its next sign may still come."""

    @property
    def takes_jobs(self) -> bool:
        """Whether it may take another job: it is not known to be dead, does not drain, and nothing
        that it needs is short."""
        return self.alive is not False and not self.draining and self.shortage is None


def kept_for(sign: dict[str, Any]) -> timedelta:
    """How long a worker is remembered after this sign."""
    if "cannot_start" in sign:
        return KEPT_FAILED
    return KEPT if sign["running"] or "stopped" in sign else KEPT_IDLE


def partition_of(queue: str) -> str:
    """The partition that holds the signs of a queue's workers."""
    return f"{Partition.WORKERS}{queue}"


def workers(installation: Installation, queue: str) -> list[WorkerStatus]:
    """The remembered workers of a queue, most recently seen first."""
    now_ms = installation.clock.now_ms()
    found: list[WorkerStatus | None] = []
    for name, text in installation.store.notes(partition_of(queue), SIGN):
        try:
            with reading_item(partition_of(queue), name):
                found.append(_read(name.removeprefix(SIGN), queue, text, now_ms))
        except UnreadableItem as problem:
            installation.skipped.add(problem)
    # `_read` drops expired ones: DynamoDB deletes items days after they expire
    last_first = sorted(
        (status for status in found if status is not None),
        key=lambda status: status.seen_at,
        reverse=True,
    )
    failed = _failed_start(last_first)
    return [one for one in last_first if one.cannot_start is None or one is failed]


def _failed_start(last_first: Sequence[WorkerStatus]) -> WorkerStatus | None:
    """The last worker that could not start, unless another one has started since."""
    failed = next((one for one in last_first if one.cannot_start is not None), None)
    if failed is None:
        return None
    since = (one for one in last_first if one.cannot_start is None)
    return None if any(one.started_at > failed.seen_at for one in since) else failed


def _read(name: str, queue: str, text: str, now_ms: int) -> WorkerStatus | None:
    """The status by a sign; None if the sign has expired.

    Raises: ValueError, TypeError or others, when it is no sign of life.
    """
    sign: dict[str, Any] = json.loads(text)
    check_sign(sign, now_ms=now_ms)
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
        age=timedelta(milliseconds=max(0, silent_ms)),
        running=tuple(
            RunningNow(job_id=job_id, task=task, since=from_ms(since))
            for job_id, task, since in sign["running"]
        ),
        stopped=stopped,
        draining="draining" in sign and not stopped,
        shortage=None if stopped else sign.get("short"),
        short_of=() if stopped else tuple(sign.get("short_of", ())),
        trouble=None if stopped else sign.get("trouble"),
        ecs_task=sign.get("task"),
        clock_ahead=timedelta(milliseconds=max(0, -silent_ms) or -sign.get("behind_ms", 0)),
        cannot_start=sign.get("cannot_start"),
        alive=_alive(sign, silent_ms),
    )


def check_sign(sign: dict[str, Any], *, now_ms: int) -> None:
    """Raises: KeyError, TypeError, ValueError, when it is no sign of life."""
    numbers = [name for name in _OPTIONAL_NUMBERS if name in sign]
    for name in ("seen", "started", "concurrency", *numbers):
        if type(sign[name]) is not int or sign[name] < 0:
            raise TypeError(f"{name}={shown(sign[name])} is not a whole number")
    if sign["seen"] > now_ms + span_ms(_CLOCKS_AHEAD):
        raise ValueError("it was seen in the future")
    lists = [name for name in _OPTIONAL_LISTS if name in sign]
    for name in ("abilities", "running", *lists):
        if not isinstance(sign[name], list):
            raise TypeError(f"{name}={shown(sign[name])} is not a list")
    texts = [*sign["abilities"], sign["version"], *sign.get("short_of", ())]
    texts += [sign[name] for name in _OPTIONAL_TEXTS if name in sign]
    texts += [part for job_id, task, _since in sign["running"] for part in (job_id, task)]
    for one in texts:
        if not isinstance(one, str):
            raise TypeError(f"{shown(one)} is not text")


def _alive(sign: dict[str, Any], silent_ms: int) -> bool | None:
    if "stopped" in sign:
        return False
    if silent_ms <= span_ms(BUSY + GRACE):
        return True
    # one sign may be lost
    idle = not sign["running"] and silent_ms <= span_ms(2 * IDLE + GRACE)
    return None if idle else False
