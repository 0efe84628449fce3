"""Says of runs that lost their lease that their worker lives, so that none counts as a crash."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from weakref import WeakSet

from remotejob.domain import lapses, run_changes
from remotejob.domain.history import Action, appended, entered
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Installation
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

_SAY: Final = "say that a lost lease was no crash"

_LONGEST: Final = timedelta(hours=1)
"""How long to try: the lease was lost because requests fail. After that, the job ran elsewhere."""

_LEASES_OF_CLAIM: Final = 2
"""How long to try for a claim, which most likely was never made."""


@dataclass(slots=True)
class _Loss:
    job_id: str
    run_id: str
    lease_s: float
    until: float
    begun: bool
    """False for a claim without an answer: nobody can have begun its run."""
    failed: int = 0
    not_before: float = 0.0


class LostLeases:
    """The runs of one worker that lost their lease, until their records say so.

    The worker no longer owns these jobs. Each change names the run that it is about, and has no
    effect on another run. Safe across threads.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._outages = OutageLog(installation.clock)
        self._lock = threading.Lock()
        self._noted: WeakSet[Run] = WeakSet()
        self._unsaid: dict[str, _Loss] = {}

    def note(self, run: Run) -> None:
        """Remember that a run has lost its lease. Each counts once."""
        with self._lock:
            if run in self._noted:
                return
            self._noted.add(run)
        self._note(run.job_id, run.run_id, lease=run.lease_length, within=_LONGEST, begun=run.begun)

    def note_claim(self, job_id: str, run_id: str, *, lease: timedelta) -> None:
        """Remember a claim without an answer: if it was made, nobody runs the job under it."""
        within = _LEASES_OF_CLAIM * lease
        self._note(job_id, run_id, lease=lease, within=within, begun=False)

    def _note(
        self, job_id: str, run_id: str, *, lease: timedelta, within: timedelta, begun: bool
    ) -> None:
        now = self._installation.clock.monotonic()
        with self._lock:
            self._unsaid[run_id] = _Loss(
                job_id=job_id,
                run_id=run_id,
                lease_s=lease.total_seconds(),
                until=now + within.total_seconds(),
                begun=begun,
            )

    def due(self) -> list[str]:
        """Ids of the runs to say it of now."""
        now = self._installation.clock.monotonic()
        with self._lock:
            return [one.run_id for one in self._unsaid.values() if one.not_before <= now]

    @property
    def any(self) -> bool:
        """Whether there are any left to say it of."""
        with self._lock:
            return bool(self._unsaid)

    def say_all(self) -> None:
        """Say it of all, once more before the worker stops."""
        with self._lock:
            unsaid = list(self._unsaid)
        for run_id in unsaid:
            self.say(run_id)

    def say(self, run_id: str) -> None:
        """Say it of one run; if that fails, it is due again later."""
        with self._lock:
            loss = self._unsaid.get(run_id)
        if loss is None:
            return
        try:
            self._put_right(loss)
        except Exception as problem:  # noqa: BLE001 (tried again later)
            self._outages.failed(_SAY, problem, job=loss.job_id, run=loss.run_id)
            self._try_again_later(loss)
            return
        self._outages.over(_SAY)
        with self._lock:
            self._unsaid.pop(run_id, None)

    def _put_right(self, loss: _Loss) -> None:
        store = self._installation.store
        record = store.update(lapses.lost(loss.job_id, loss.run_id)).record
        if record is not None and loss.run_id in (record.crashed_runs or ()):
            # another run has the job, or had it
            installation = self._installation
            change = appended(
                lapses.was_no_crash(loss.job_id, loss.run_id),
                Action.NO_CRASH,
                at_ms=installation.clock.now_ms(),
                actor=installation.actor,
            )
            store.update(change)
        elif record is not None and record.at_most_once and record.run_id == loss.run_id:
            self._give_back(record, loss)

    def _give_back(self, record: JobRecord, loss: _Loss) -> None:
        """Give back a run that never began. Lost, it would be the last of its job."""
        if loss.begun or record.state is not State.RUNNING:
            return
        now, actor = self._installation.clock.now_ms(), self._installation.actor
        release = run_changes.release(record, now_ms=now, report={})
        detail = "its run never began"
        self._installation.store.update(
            entered(release, record, Action.GIVEN_BACK, actor=actor, detail=detail)
        )

    def _try_again_later(self, loss: _Loss) -> None:
        now = self._installation.clock.monotonic()
        with self._lock:
            loss.failed += 1
            loss.not_before = now + pause_after(
                loss.failed, first=min(1.0, loss.lease_s / 24), longest=loss.lease_s / 4
            )
            if now >= loss.until:
                self._unsaid.pop(loss.run_id, None)
