"""Claims the job of a message, or decides what to do with the message instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from remotejob.domain import changes, claim_decisions, run_changes
from remotejob.domain.claim_decisions import after_refused_claim
from remotejob.domain.errors import StoreUnavailable, UnreadableItem
from remotejob.domain.ids import new_run_id
from remotejob.domain.odd_items import end_lease
from remotejob.domain.record import JobRecord
from remotejob.domain.record_texts import check_texts
from remotejob.domain.states import State
from remotejob.domain.suspects import runs_alone
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.locks import (
    Changed,
    Contended,
    Locked,
    Parked,
    claim_with_locks,
    unlock,
)
from remotejob.jobs.coordination.series import refuse_outdated_run
from remotejob.jobs.coordination.successors import expire, miss
from remotejob.jobs.messaging.log_fields import log_fields, message_log_fields
from remotejob.jobs.messaging.messages import Pending, odd_message
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Installation, Received, Refused, Updated
from remotejob.tasks.task import Task
from remotejob.worker.messages.begins import Begins
from remotejob.worker.messages.lost_leases import LostLeases
from remotejob.worker.messages.run_events import tell_of_lapse
from remotejob.worker.messages.settlements import (
    Conclude,
    DeadLetter,
    Delete,
    Hide,
    Replace,
    RunAlone,
    Settlement,
)
from remotejob.worker.runs.checkpoints import Checkpoints
from remotejob.worker.runs.run import Run, new_lease

log = logging.getLogger(__name__)

_CLAIM_TRIES: Final = 4
_CONTENDED: Final = timedelta(seconds=5)

_Claim = (
    claim_decisions.Reclaim
    | claim_decisions.ClaimLocked
    | claim_decisions.ClaimFromDue
    | claim_decisions.ClaimAgain
)


class Claims:
    """Makes the claims of one worker."""

    def __init__(
        self,
        installation: Installation,
        *,
        worker: str,
        lost_leases: LostLeases,
        alone: Callable[[], bool],
    ) -> None:
        """`alone` is whether a run that the calling thread begins has the worker to itself."""
        self._alone = alone
        self._installation = installation
        self._lost_leases = lost_leases
        self._worker = worker

    def claim(self, message: Received, pending: Pending, task: Task) -> Run | Settlement:
        """Claim the job for a run; without a claim, return how to settle the message.

        Raises: UnreadableItem, when the record cannot be read.
        """
        run_id = new_run_id(self._installation.entropy)
        lease = task.lease or self._installation.lease
        try:
            return self._claimed(message, pending, task, run_id, lease)
        except UnreadableItem:
            self._give_back(pending, message.address.queue, run_id)
            raise
        except Exception:
            # it may have been made without an answer, and then nobody runs the job
            self._lost_leases.note_claim(pending.job_id, run_id, lease=lease)
            raise

    def _give_back(self, pending: Pending, queue: str, run_id: str) -> None:
        """Undo a claim whose record turned out to be unreadable, if it was made.

        Nobody can run the job. Left running, it would count as crashed once it can be read.
        """
        now = self._installation.clock.now_ms()
        # all that the change needs to know of the record
        claimed = JobRecord(
            id=pending.job_id,
            state=State.RUNNING,
            task=pending.task,
            queue=queue,
            created_ms=now,
            updated_ms=now,
            run_id=run_id,
        )
        try:
            self._installation.store.update(run_changes.release(claimed, now_ms=now, report={}))
        except UnreadableItem:
            # what it returns is as unreadable as before
            log.info("claim undone", extra=log_fields(claimed))
        except Exception:
            log.exception("claim of an unreadable job not undone", extra=log_fields(claimed))

    def _claimed(
        self, message: Received, pending: Pending, task: Task, run_id: str, lease: timedelta
    ) -> Run | Settlement:
        clock = self._installation.clock
        # the lease counts from before the request: the answer may take any time
        began, now = clock.monotonic(), clock.now_ms()
        begins = Begins(
            message=message,
            task=pending.task,
            retry=task.retry,
            crashes=task.crashes,
            run_id=run_id,
            worker=self._worker,
            lease_ms=span_ms(lease),
            skew_ms=span_ms(self._installation.skew),
            alone=self._alone(),
        )
        outcome: Updated | Refused | Settlement
        outcome = self._installation.store.update(begins.claim(pending.job_id, now=now, stamp=now))
        for _ in range(_CLAIM_TRIES):
            if not isinstance(outcome, Updated | Refused):
                return outcome
            record = outcome.record
            own = record is not None and record.run_id == run_id
            if record is not None:
                check_texts(record)
            if record is not None and own and record.state is State.RUNNING:
                # even if it was refused: the answer to our own claim was lost, and boto3 sent the
                # claim again
                outdated = refuse_outdated_run(record, self._installation)
                if outdated is not None:
                    return Conclude(message=message, record=outdated)
                return Run(
                    record=record,
                    lease=new_lease(began, lease),
                    message=message,
                    task=task,
                    installation=self._installation,
                    checkpoints=Checkpoints,
                    trace=pending.trace,
                )
            if isinstance(outcome, Updated) and record is not None and record.terminal:
                return Conclude(message=message, record=record)
            began, now = clock.monotonic(), clock.now_ms()
            outcome = self._tried_again(message, pending, record, begins, now)
        # others change the record as fast as we read it, so somebody has it
        return Hide(message=message, span=_CONTENDED)

    def _tried_again(
        self,
        message: Received,
        pending: Pending,
        record: JobRecord | None,
        begins: Begins,
        now: int,
    ) -> Updated | Refused | Settlement:
        """Follow up on the record that refused a claim: by another change, or by a settlement."""
        if record is not None:
            set_aside = odd(message, pending, record, self._installation)
            if set_aside is not None:
                return set_aside
            if record.lease_beyond_sense(now) and not record.terminal:
                return self._installation.store.update(end_lease(record))
            if record.crash_limit is None and begins.crashes is not None:
                # claimed by a worker that did not know of the task's limit
                record = replace(record, crash_limit=begins.crashes)
        skew = self._installation.skew
        verdict = after_refused_claim(record, now_ms=now, skew=skew, retry=begins.retry)
        match verdict:
            case (
                claim_decisions.Reclaim()
                | claim_decisions.ClaimLocked()
                | claim_decisions.ClaimFromDue()
                | claim_decisions.ClaimAgain()
            ):
                if record is not None and runs_alone(record) and not begins.alone:
                    return RunAlone(message=message, span=_CONTENDED)
                return self._claimed_as_seen(message, pending, verdict, begins, now)
            case claim_decisions.Expire(seen):
                return expire(seen, self._installation, now_ms=now)
            case claim_decisions.Miss(seen, until_ms):
                return miss(seen, self._installation, now_ms=now, until_ms=until_ms)
        return unclaimed(
            message,
            pending,
            verdict,
            installation=self._installation,
            now_ms=now,
            record=record,
        )

    def _claimed_as_seen(
        self, message: Received, pending: Pending, verdict: _Claim, begins: Begins, now: int
    ) -> Updated | Refused | Settlement:
        """Claim the job by what the record says that refused the claim."""
        store = self._installation.store
        match verdict:
            case claim_decisions.ClaimAgain(stamp_ms):
                return store.update(begins.claim(pending.job_id, now=now, stamp=stamp_ms))
            case claim_decisions.ClaimLocked(seen):
                change = begins.claim_locked(seen, now=now)
                return self._with_locks(message, seen, change, begins.run_id)
            case claim_decisions.ClaimFromDue(seen):
                return store.update(begins.claim_locked(seen, now=now))
            case claim_decisions.Reclaim(seen):
                change = begins.reclaim(seen, now=now)
                outcome = (
                    self._with_locks(message, seen, change, begins.run_id)
                    if seen.locked
                    else store.update(change)
                )
                if isinstance(outcome, Updated | Refused):
                    tell_of_lapse(seen, outcome.record, begins.run_id, self._installation)
                return outcome

    def _with_locks(
        self, message: Received, seen: JobRecord, change: changes.Change, run_id: str
    ) -> Updated | Refused | Settlement:
        outcome: Locked | Changed | Parked | Contended
        try:
            outcome = claim_with_locks(seen, change, run_id=run_id, installation=self._installation)
        except StoreUnavailable as problem:
            # many want the lock right now: no reason to stop serving other jobs
            log.info("lock not taken: %s", problem, extra=log_fields(seen))
            outcome = Contended()
        match outcome:
            case Locked(record):
                return Updated(record)
            case Changed(record):
                return Refused(record)
            case Parked():
                log.info("job parked: its lock is held", extra=log_fields(seen))
                return Delete(message=message)
            case Contended():
                # spread out, so that they do not all come back at once
                return Hide(message=message, span=_CONTENDED * (1 + int(run_id[:2], 16) / 255))


def odd(
    message: Received, pending: Pending, record: JobRecord, installation: Installation
) -> DeadLetter | None:
    """How to settle a message that says something else than its job's record; None if it does not.

    If the job could run, its own message may have been exchanged for this one: it is sent again.
    """
    reason = odd_message(pending, message.address.queue, record)
    if reason is None:
        return None
    if record.runnable(installation.clock.now_ms()):
        try:
            send_for([record], installation)
        except Exception:
            # the scheduler sends it, as for any lost message
            log.exception("the job's own message not sent", extra=log_fields(record))
    return DeadLetter(message=message, reason=reason)


def unclaimed(
    message: Received,
    pending: Pending,
    verdict: claim_decisions.Hide
    | claim_decisions.Wait
    | claim_decisions.Conclude
    | claim_decisions.Drop,
    *,
    installation: Installation,
    now_ms: int,
    record: JobRecord | None = None,
) -> Settlement:
    """How to settle a message whose job must not run now."""
    capabilities = installation.messages.capabilities
    if (
        isinstance(verdict, claim_decisions.Wait | claim_decisions.Drop)
        and record
        and record.locked
    ):
        # the worker that ended its last run may have died before releasing the locks
        unlock(record, installation)
    match verdict:
        case claim_decisions.Conclude(ended):
            return Conclude(message=message, record=ended)
        case claim_decisions.Hide(until_ms):
            span = timedelta(milliseconds=until_ms - now_ms)
            return Hide(message=message, span=min(span, capabilities.max_hidden / 2))
        case claim_decisions.Wait(until_ms):
            delay = timedelta(milliseconds=until_ms - now_ms)
            if delay <= capabilities.max_delay:
                return Replace(message=message, pending=pending, delay=delay)
            return Delete(message=message)
        case claim_decisions.Drop(reason):
            log.info("message dropped: %s", reason, extra=message_log_fields(message, pending))
            return Delete(message=message)
