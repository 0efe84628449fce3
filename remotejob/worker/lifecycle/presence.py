"""Signs of life: what a worker says of itself beside the records.

It gives one as it starts, each minute while it is busy, one when it has gone idle, one as it begins
to stop where jobs still run, and one as it stops. An idle worker is silent: it costs no request,
and whether it lives is for ECS to say.
Nothing depends on signs but whoever looks: leases decide who is dead.

Source: forerunner, the manifest of a worker and `status`.
"""

from __future__ import annotations

import importlib.metadata
import json
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.jobs.queries.workers import BUSY, SIGN, kept_for, partition_of
from remotejob.outages import OutageLog
from remotejob.ports import Installation

if TYPE_CHECKING:
    from remotejob.worker.runs.run import Run

_GIVE: Final = "give a sign of life"
_PATIENCE: Final = timedelta(seconds=5)

_JOBS_SHOWN: Final = 100
"""Beyond, the sign would grow towards what an item may hold."""

Later = Callable[[Callable[[], None]], object]
"""Has a function called beside whatever else the thread does."""


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
        replaces: str | None = None,
    ) -> None:
        """`running` says what it is at; `replaces` is a dead worker that could not say so."""
        self._installation = installation
        self._worker = worker
        self._queue = queue
        self._running = running
        self._replaces = replaces
        self._fixed = {
            "abilities": sorted(abilities),
            "concurrency": concurrency,
            "version": _version(),
            "started": installation.clock.now_ms(),
        }
        self._given: float | None = None
        self._once_more = False
        """Whether a sign is owed also when the worker is idle by then."""
        self._draining = False
        self._unsaid = False
        """Whether it drains, and no sign says so yet."""
        self._outages = OutageLog(installation.clock)
        self._writing = threading.Lock()

    def give_if_due(self, later: Later) -> None:
        """Give a sign by way of `later` if it is time for one, and none is on its way.

        A request takes as long as it takes, and leases are not to wait for it.
        """
        runs = [run for run in self._running() if not run.ended]
        busy, now = bool(runs), self._installation.clock.monotonic()
        due = self._given is None or (
            (busy or self._once_more)
            and (self._unsaid or now - self._given >= BUSY.total_seconds())
        )
        if not due:
            return
        if not self._writing.acquire(blocking=False):
            return
        before = self._given, self._once_more, self._unsaid
        self._given, self._once_more, self._unsaid = now, busy, False
        given = False
        try:
            later(lambda: self._give_and_release(runs))
            given = True
        finally:
            if not given:
                self._given, self._once_more, self._unsaid = before
                self._writing.release()

    def drain(self) -> None:
        """Have the next sign say that it takes no more jobs; it is due now, if there are any."""
        self._draining = True
        self._unsaid = True

    def stop(self) -> None:
        """Say that the worker stops."""
        # a sign on its way must not come after; one that does not arrive must not hold us up
        if self._writing.acquire(timeout=_PATIENCE.total_seconds()):
            try:
                self._give([], stopped=True)
            except Exception as problem:  # noqa: BLE001 (it stops all the same)
                self._outages.failed(_GIVE, problem)
            finally:
                self._writing.release()

    def _give_and_release(self, runs: list[Run]) -> None:
        try:
            self._give(runs)
            if self._replaces is not None:
                self._tell_of_death(self._replaces)
                self._replaces = None
            self._outages.over(_GIVE)
        except Exception as problem:  # noqa: BLE001 (who looks sees less; the work goes on)
            self._once_more = True
            self._outages.failed(_GIVE, problem)
        finally:
            self._writing.release()

    def _give(self, runs: list[Run], *, stopped: bool = False) -> None:
        shown = runs[:_JOBS_SHOWN]
        sign = {
            **self._fixed,
            "seen": self._installation.clock.now_ms(),
            "running": [[run.job_id, run.task.name, run.record.started_ms] for run in shown],
        }
        if self._draining:
            sign["draining"] = 1
        if stopped:
            sign["stopped"] = 1
        self._put(self._worker, sign)

    def _tell_of_death(self, worker: str) -> None:
        """Have a worker's last sign say that it has stopped, as it could not any more."""
        name = f"{SIGN}{worker}"
        for found, text in self._installation.store.notes(partition_of(self._queue), name):
            if found == name:
                self._put(worker, {**json.loads(text), "running": [], "stopped": 1})

    def _put(self, worker: str, sign: dict[str, Any]) -> None:
        self._installation.store.put_note(
            partition_of(self._queue),
            f"{SIGN}{worker}",
            dumps(sign),
            expires_s=(sign["seen"] + span_ms(kept_for(sign))) // 1000,
        )


def _version() -> str:
    try:
        return importlib.metadata.version("remotejob")
    except importlib.metadata.PackageNotFoundError:
        # copied into an image, not installed
        return "unknown"
