"""Signs of life: notes in which a worker says what it is doing, for people to read.

A worker writes one when it starts, every minute while it is busy and every five minutes while it is
idle, when it begins to stop with jobs still running, when something that it needs is short, and
when it stops. A worker that cannot start writes one that says why. No decision depends on these
notes: leases decide which worker is dead.

Source: forerunner, the manifest of a worker and `status`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.text import cut, dumps, said_by
from remotejob.domain.times import span_ms
from remotejob.domain.unreadable import reading_item
from remotejob.jobs.queries.workers import BUSY, IDLE, SIGN, check_sign, kept_for, partition_of
from remotejob.names import installed_version
from remotejob.outages import OutageLog
from remotejob.ports import Installation

if TYPE_CHECKING:
    from remotejob.worker.runs.run import Run

_GIVE: Final = "give a sign of life"
_PATIENCE: Final = timedelta(seconds=5)

_LONGEST: Final = 1000
"""Characters of a reason."""

_JOBS_SHOWN: Final = 100
"""More would take the note towards the size limit of an item."""

StartRequest = Callable[[Callable[[], None]], object]
"""Runs a function in the background."""


class Presence:
    """Writes the signs of life of one worker."""

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
        ecs_task: str | None = None,
    ) -> None:
        """`running` returns the worker's runs; `replaces` is a dead worker, which could not write
        that it stopped; `ecs_task` is the id of the worker's task in ECS."""
        self._installation = installation
        self._worker = worker
        self._queue = queue
        self._running = running
        self._replaces = replaces
        self._fixed = {
            "abilities": sorted(abilities),
            "concurrency": concurrency,
            "version": installed_version(),
            "started": installation.clock.now_ms(),
            **({} if ecs_task is None else {"task": ecs_task}),
        }
        self._given: float | None = None
        self._once_more = False
        """Whether to give the next sign soon even if the worker is idle by then."""
        self._draining = False
        self._drain_unreported = False
        """Whether no sign says yet that the worker drains."""
        self._shortages: dict[str, str] = {}
        self._troubles: dict[str, str] = {}
        self._behind_ms = 0
        self._outages = OutageLog(installation.clock)
        self._writing = threading.Lock()

    def give_if_due(self, start: StartRequest) -> None:
        """Give a sign if it is time for one and none is on its way; `start` makes the request."""
        runs = [run for run in self._running() if not run.ended]
        busy, now = bool(runs), self._installation.clock.monotonic()
        if not self._is_due(now, soon=busy or self._once_more):
            return
        if not self._writing.acquire(blocking=False):
            return
        before = self._given, self._once_more, self._drain_unreported
        self._given, self._drain_unreported = now, False
        # a trouble that is over by then must not be told for five minutes
        self._once_more = busy or bool(self._troubles)
        started = False
        try:
            start(lambda: self._give_and_release(runs))
            started = True
        finally:
            if not started:
                self._given, self._once_more, self._drain_unreported = before
                self._writing.release()

    def _is_due(self, now: float, *, soon: bool) -> bool:
        if self._given is None or (soon and self._drain_unreported):
            return True
        return now - self._given >= (BUSY if soon else IDLE).total_seconds()

    def drain(self) -> None:
        """Let the next sign say that the worker takes no more jobs; due now if it still has any."""
        self._draining = True
        self._drain_unreported = True

    def say_short(self, of: str, shortage: str | None) -> None:
        """Let a sign say at once why the worker takes no jobs; None when it has that again."""
        if self._shortages.get(of) == shortage:
            return
        if shortage is None:
            del self._shortages[of]
        else:
            self._shortages[of] = shortage
        self._given = None

    def say_trouble(self, what: str, problem: BaseException) -> None:
        """Let the next sign, within a minute, say that the worker cannot do something."""
        self._troubles[what] = f"cannot {what}: {said_by(problem)}"
        self._once_more = True

    def trouble_over(self, what: str) -> None:
        """Let the next sign no longer say so."""
        if self._troubles:
            self._troubles.pop(what, None)

    def note_sent(self, sent_ms: int) -> None:
        """Compare this machine's clock with AWS's, which stamped a message that has just come."""
        behind_ms = sent_ms - self._installation.clock.now_ms()
        if behind_ms > self._behind_ms:
            self._behind_ms = behind_ms

    def stop(self) -> None:
        """Write that the worker has stopped."""
        # a sign on its way must not arrive later; if it hangs, we do not wait for it
        if self._writing.acquire(timeout=_PATIENCE.total_seconds()):
            try:
                self._give([], stopped=True)
            except Exception as problem:  # noqa: BLE001 (the worker stops anyway)
                self._outages.failed(_GIVE, problem)
            finally:
                self._writing.release()

    def _give_and_release(self, runs: list[Run]) -> None:
        try:
            self._give(runs)
            if self._replaces is not None:
                self._report_death(self._replaces)
                self._replaces = None
            self._outages.over(_GIVE)
        except Exception as problem:  # noqa: BLE001 (the jobs go on without)
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
        shortages = list(self._shortages.values())
        if shortages:
            sign["short"] = cut("; ".join(shortages), _LONGEST)
            sign["short_of"] = sorted(self._shortages)
        troubles = list(self._troubles.values())
        if troubles:
            sign["trouble"] = cut("; ".join(troubles), _LONGEST)
        if self._behind_ms:
            # of the time since the last sign: a clock that was corrected is right
            sign["behind_ms"], self._behind_ms = self._behind_ms, 0
        if stopped:
            sign["stopped"] = 1
        self._put(self._worker, sign)

    def _report_death(self, worker: str) -> None:
        """Write into a dead worker's last sign that it has stopped."""
        name = f"{SIGN}{worker}"
        for found, text in self._installation.store.notes(partition_of(self._queue), name):
            if found != name:
                continue
            try:
                with reading_item(partition_of(self._queue), name):
                    sign = {**json.loads(text), "running": [], "stopped": 1}
                    check_sign(sign, now_ms=self._installation.clock.now_ms())
            except UnreadableItem as problem:
                self._installation.skipped.add(problem)
            else:
                self._put(worker, sign)

    def _put(self, worker: str, sign: dict[str, Any]) -> None:
        self._installation.store.put_note(
            partition_of(self._queue),
            f"{SIGN}{worker}",
            dumps(sign),
            expires_s=(sign["seen"] + span_ms(kept_for(sign))) // 1000,
        )


def report_failed_start(
    installation: Installation,
    *,
    worker: str,
    queue: str,
    problem: BaseException,
    ecs_task: str | None = None,
) -> None:
    """Write that a worker of a queue could not start. Raises: what the store raises."""
    now_ms = installation.clock.now_ms()
    cause = problem.__cause__
    said = str(problem) if cause is None else f"{type(cause).__name__}: {problem}"
    sign: dict[str, Any] = {
        "abilities": [],
        "concurrency": 0,
        "version": installed_version(),
        "started": now_ms,
        "seen": now_ms,
        "running": [],
        "stopped": 1,
        "cannot_start": cut(said, _LONGEST),
        **({} if ecs_task is None else {"task": ecs_task}),
    }
    installation.store.put_note(
        partition_of(queue),
        f"{SIGN}{worker}",
        dumps(sign),
        expires_s=(now_ms + span_ms(kept_for(sign))) // 1000,
    )
