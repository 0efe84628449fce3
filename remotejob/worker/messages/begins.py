"""The claims that begin one run, whichever of them its job needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remotejob.domain import changes, locks, missed, run_changes
from remotejob.domain.history import lapsed
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.suspects import in_company
from remotejob.names import Field
from remotejob.ports import Received


@dataclass(frozen=True, kw_only=True, slots=True)
class Begins:
    """The values of a run that would begin."""

    message: Received
    task: str
    """As the message has it."""
    retry: Retry
    """Of the task."""
    crashes: int | None
    """Of the task: how many deaths of its worker a job may survive."""
    run_id: str
    worker: str
    lease_ms: int
    skew_ms: int
    alone: bool

    def claim(self, job_id: str, *, now: int, stamp: int) -> changes.Change:
        claim = run_changes.claim(
            job_id,
            task=self.task,
            queue=self.message.address.queue,
            run_id=self.run_id,
            worker=self.worker,
            now_ms=now,
            stamp_ms=stamp,
            lease_ms=self.lease_ms,
            skew_ms=self.skew_ms,
        )
        claim = claim if self.alone else in_company(claim)
        return self._with_limit(missed.unless_too_late(claim, self.retry, now_ms=now))

    def claim_locked(self, record: JobRecord, *, now: int) -> changes.Change:
        claim = locks.claim_locked(
            record,
            run_id=self.run_id,
            worker=self.worker,
            now_ms=now,
            lease_ms=self.lease_ms,
            skew_ms=self.skew_ms,
        )
        return self._with_limit(claim)

    def reclaim(self, record: JobRecord, *, now: int) -> changes.Change:
        claim = run_changes.reclaim(
            record,
            run_id=self.run_id,
            worker=self.worker,
            now_ms=now,
            lease_ms=self.lease_ms,
            skew_ms=self.skew_ms,
        )
        return lapsed(self._with_limit(claim), record, actor=self.worker)

    def _with_limit(self, claim: changes.Change) -> changes.Change:
        """The claim, which writes the task's limit of crashes unless the job has its own."""
        if self.crashes is None:
            return claim
        return replace(claim, set_once={Field.CRASH_LIMIT: self.crashes})
