"""Claims the job of a message, or finds out why it is not to be had."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from remotejob.domain import changes, decisions
from remotejob.domain.decisions import CLOCK_SKEW, after_refused_claim
from remotejob.domain.ids import new_run_id
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.envelope import Pending
from remotejob.ports import Installation, Received, Updated
from remotejob.tasks import Task
from remotejob.worker.run import Run, new_lease
from remotejob.worker.settlements import Conclude, Delete, Hide, Replace, Settlement

log = logging.getLogger(__name__)

_CLAIM_TRIES: Final = 4
_CONTENDED: Final = timedelta(seconds=5)


class Claims:
    """Makes the claims of one worker."""

    def __init__(self, installation: Installation, *, worker: str) -> None:
        self._installation = installation
        self._worker = worker

    def claim(self, message: Received, pending: Pending, task: Task) -> Run | Settlement:
        """Take the job for a run, or say what becomes of a message whose job is not to be had."""
        clock, store = self._installation.clock, self._installation.store
        run_id = new_run_id(self._installation.entropy)
        # the lease is counted from before the request: its answer may take any time
        began, now = clock.monotonic(), clock.now_ms()
        change = self._change(pending.job_id, run_id, now=now, stamp=now)
        for _ in range(_CLAIM_TRIES):
            outcome = store.update(change)
            record = outcome.record
            own = record is not None and record.run_id == run_id
            if record is not None and own and record.state is State.RUNNING:
                # also when it was refused: the answer to our own claim was lost, and the claim
                # sent again
                return Run(
                    record=record,
                    lease=new_lease(began, self._installation.lease),
                    message=message,
                    task=task,
                    installation=self._installation,
                )
            if isinstance(outcome, Updated) and record is not None and record.terminal:
                return Conclude(message=message, record=record)
            began, now = clock.monotonic(), clock.now_ms()
            match after_refused_claim(record, now_ms=now):
                case decisions.ClaimAgain(stamp_ms):
                    change = self._change(pending.job_id, run_id, now=now, stamp=stamp_ms)
                case decisions.Reclaim(seen):
                    change = changes.reclaim(
                        seen,
                        run_id=run_id,
                        worker=self._worker,
                        now_ms=now,
                        lease_ms=span_ms(self._installation.lease),
                        skew_ms=span_ms(CLOCK_SKEW),
                    )
                case decisions.Expire(seen):
                    change = changes.expire(seen, now_ms=now, skew_ms=span_ms(CLOCK_SKEW))
                case settled:
                    return unclaimed(
                        message, pending, settled, installation=self._installation, now_ms=now
                    )
        # others change the record as fast as we read it; it is in good hands
        return Hide(message=message, span=_CONTENDED)

    def _change(self, job_id: str, run_id: str, *, now: int, stamp: int) -> changes.Change:
        return changes.claim(
            job_id,
            run_id=run_id,
            worker=self._worker,
            now_ms=now,
            stamp_ms=stamp,
            lease_ms=span_ms(self._installation.lease),
            skew_ms=span_ms(CLOCK_SKEW),
        )


def unclaimed(
    message: Received,
    pending: Pending,
    verdict: decisions.Hide | decisions.Wait | decisions.Conclude | decisions.Drop,
    *,
    installation: Installation,
    now_ms: int,
) -> Settlement:
    """What becomes of a message whose job is not to be run now."""
    capabilities = installation.messages.capabilities
    match verdict:
        case decisions.Conclude(record):
            return Conclude(message=message, record=record)
        case decisions.Hide(until_ms):
            span = timedelta(milliseconds=until_ms - now_ms)
            return Hide(message=message, span=min(span, capabilities.max_hidden / 2))
        case decisions.Wait(until_ms):
            delay = timedelta(milliseconds=until_ms - now_ms)
            if delay <= capabilities.max_delay:
                return Replace(message=message, pending=pending, delay=delay)
            return Delete(message=message)
        case decisions.Drop(reason):
            log.info("message dropped: %s", reason, extra={"job": pending.job_id})
            return Delete(message=message)
