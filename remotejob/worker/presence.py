"""Signs of life: what a worker says of itself beside the records, and how it is read.

Its heart gives them, at a pace that costs an idle worker next to nothing. Nothing depends on them
but whoever looks: leases decide who is dead.

Source: forerunner, the manifest of a worker and `status`.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.record import cut, dumps
from remotejob.domain.times import from_ms, span_ms
from remotejob.ports import Installation

if TYPE_CHECKING:
    from remotejob.worker.run import Run

log = logging.getLogger(__name__)

BUSY: Final = timedelta(minutes=1)
"""Between two signs of a worker that has jobs, or has just had some."""

IDLE: Final = timedelta(minutes=10)
"""Between two signs of one that has none."""

GRACE: Final = timedelta(minutes=1)
"""How late a sign may be before its worker is thought dead."""

KEPT: Final = timedelta(days=2)
"""How long a worker is remembered after its last sign."""

_PATIENCE: Final = timedelta(seconds=5)

_PARTITION: Final = "workers#"
_SIGN: Final = "sign#"
_JOBS_SHOWN: Final = 100
"""Beyond, the sign would grow towards what an item may hold."""

Later = Callable[[Callable[[], None]], object]
"""Has a function called beside whatever else the thread does."""


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
    alive: bool
    """Whether it has not stopped, and its next sign is not overdue."""


class Presence:
    """The signs one worker gives."""

    def __init__(
        self,
        installation: Installation,
        *,
        worker: str,
        queue: str,
        abilities: Iterable[str],
        concurrency: int,
        running: Callable[[], list[Run]],
    ) -> None:
        """`running` says what it is at."""
        self._installation = installation
        self._worker = worker
        self._queue = queue
        self._running = running
        self._fixed = {
            "abilities": sorted(abilities),
            "concurrency": concurrency,
            "version": _version(),
            "started": installation.clock.now_ms(),
        }
        self._given: float | None = None
        self._was_busy = False
        self._writing = threading.Lock()

    def give_if_due(self, later: Later) -> None:
        """Give a sign by way of `later` if it is time for one, and none is on its way.

        A request takes as long as it takes, and leases are not to wait for it.
        """
        runs = [run for run in self._running() if not run.ended]
        busy, now = bool(runs), self._installation.clock.monotonic()
        pace = BUSY if busy or self._was_busy else IDLE
        if self._given is not None and now - self._given < pace.total_seconds():
            return
        if not self._writing.acquire(blocking=False):
            return
        self._given, self._was_busy = now, busy
        given = False
        try:
            later(lambda: self._give_and_release(runs))
            given = True
        finally:
            if not given:
                self._writing.release()

    def stop(self) -> None:
        """Say that the worker stops."""
        # a sign on its way must not come after; one that does not arrive must not hold us up
        if self._writing.acquire(timeout=_PATIENCE.total_seconds()):
            try:
                self._give([], stopped=True)
            finally:
                self._writing.release()

    def _give_and_release(self, runs: list[Run]) -> None:
        try:
            self._give(runs)
        finally:
            self._writing.release()

    def _give(self, runs: list[Run], *, stopped: bool = False) -> None:
        now_ms = self._installation.clock.now_ms()
        shown = runs[:_JOBS_SHOWN]
        sign = {
            **self._fixed,
            "seen": now_ms,
            "next": span_ms(BUSY if runs else IDLE),
            "running": [[run.job_id, run.task.name, run.record.started_ms] for run in shown],
        }
        if stopped:
            sign["stopped"] = 1
        try:
            self._installation.store.put_note(
                partition_of(self._queue),
                f"{_SIGN}{self._worker}",
                dumps(sign),
                expires_s=(now_ms + span_ms(KEPT)) // 1000,
            )
        except Exception as problem:  # noqa: BLE001 (who looks sees less; the work goes on)
            log.warning("no sign of life given: %s", cut(str(problem), 300))


def partition_of(queue: str) -> str:
    """Where the signs of a queue's workers lie."""
    return f"{_PARTITION}{queue}"


def workers(installation: Installation, queue: str) -> list[WorkerStatus]:
    """The workers of a queue that gave a sign lately, whoever was seen last first."""
    now_ms = installation.clock.now_ms()
    notes = installation.store.notes(partition_of(queue), _SIGN)
    found = [_read(name.removeprefix(_SIGN), queue, text, now_ms) for name, text in notes]
    # items outlive their time by days
    oldest = from_ms(now_ms) - KEPT
    return sorted(
        (status for status in found if status.seen_at > oldest),
        key=lambda status: status.seen_at,
        reverse=True,
    )


def _read(name: str, queue: str, text: str, now_ms: int) -> WorkerStatus:
    sign: dict[str, Any] = json.loads(text)
    stopped = "stopped" in sign
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
        alive=not stopped and now_ms <= sign["seen"] + sign["next"] + span_ms(GRACE),
    )


def _version() -> str:
    try:
        return importlib.metadata.version("remotejob")
    except importlib.metadata.PackageNotFoundError:
        # copied into an image, not installed
        return "unknown"
