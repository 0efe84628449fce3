"""Passes on messages of tasks that this worker does not have, but not for ever.

Another worker may have the task: old and new ones run side by side in a deployment, and some have
only part of their queue's tasks. The record says whether there is such a job at all. A job whose
task nobody has for a day keeps its state: its message is set aside with the reason, and the
scheduler sends a new one now and then.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from remotejob.domain import claim_decisions
from remotejob.domain.claim_decisions import after_refused_claim
from remotejob.domain.record import JobRecord
from remotejob.domain.text import shown
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import checked_record, record_key
from remotejob.domain.upkeep_changes import noted
from remotejob.jobs.messaging.log_fields import log_fields, message_log_fields
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Installation, Received
from remotejob.worker.messages.claims import odd, unclaimed
from remotejob.worker.messages.settlements import DeadLetter, Delete, Replace, Settlement

log = logging.getLogger(__name__)

_FIRST: Final = timedelta(seconds=5)
_DOUBLED: Final = 10
"""How often the delay is doubled at most, which is more than its limit allows."""

_FOR: Final = timedelta(days=1)
"""How long a message is passed on: longer than a deployment takes, and than the workers of a task
are scaled to none."""

_LEAST: Final = 100
"""How often it is passed on at least: about a day at the slowest pace."""

_MOST: Final = 10_000
"""More than any message is passed on in that time."""


class Declines:
    """What one worker does with messages of tasks that it does not have."""

    def __init__(self, installation: Installation, *, longest: timedelta) -> None:
        """`longest` is the longest delay of a message that is passed on."""
        self._installation = installation
        self._longest = longest

    def settle(self, message: Received, pending: Pending) -> Settlement:
        """Pass a message on, or set it aside if no worker will ever need it.

        Raises: UnreadableItem, when the record cannot be read.
        """
        # one read for each turn: the lookup costs a fraction of sending the message again
        item = self._installation.store.item(record_key(pending.job_id))
        if item is None:
            task = shown(pending.task)
            return DeadLetter(
                message=message, reason=f"no job {pending.job_id}; its task is {task}"
            )
        record = checked_record(item)
        if record is None:
            fields = message_log_fields(message, pending)
            log.info("message dropped: its job was removed", extra=fields)
            return Delete(message=message)
        settled = odd(message, pending, record, self._installation)
        if settled is not None:
            return settled
        now = self._installation.clock.now_ms()
        verdict = after_refused_claim(record, now_ms=now, skew=self._installation.skew)
        if isinstance(
            verdict,
            claim_decisions.Conclude
            | claim_decisions.Hide
            | claim_decisions.Wait
            | claim_decisions.Drop,
        ):
            return unclaimed(
                message,
                pending,
                verdict,
                installation=self._installation,
                now_ms=now,
                record=record,
            )
        return self._pass_on(message, pending, record)

    def _pass_on(self, message: Received, pending: Pending, record: JobRecord) -> Settlement:
        now = self._installation.clock.now_ms()
        waited_ms = now - max(record.updated_ms, record.due_ms or 0)
        # by both: workers pass it on at different paces, and it may have waited for any worker
        for_a_day = pending.declined >= _LEAST and waited_ms >= span_ms(_FOR)
        if for_a_day or pending.declined >= _MOST:
            reason = (
                f"no worker of queue {shown(record.queue)} has task {shown(record.task)}: its "
                f"message was passed on {pending.declined} times"
            )
            self._note(record, reason)
            return DeadLetter(message=message, reason=reason)
        delay = min(self._longest, _FIRST * 2 ** min(pending.declined, _DOUBLED))
        log.warning(
            "task %r is not registered in this worker; passing the job on in %d s",
            pending.task,
            delay.total_seconds(),
            extra=message_log_fields(message, pending),
        )
        again = replace(pending, declined=pending.declined + 1)
        return Replace(message=message, pending=again, delay=delay)

    def _note(self, record: JobRecord, reason: str) -> None:
        """Say in the job's record why nothing happens, for `show` and `why`."""
        now = self._installation.clock.now_ms()
        try:
            # refused if the job changed meanwhile: then somebody has it
            self._installation.store.update(
                noted(record, kind=claim_decisions.NO_TASK, why=reason, now_ms=now)
            )
        except Exception:
            log.exception("job not noted as without a worker", extra=log_fields(record))
