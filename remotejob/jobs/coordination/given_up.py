"""Sees to a job whose pending message went to the dead-letter queue.

The message was the promise that a worker handles the job. If the job still wants to run, another
message is sent; if it has ended, what its end asks for is carried out. Then the letter may go. A
letter that names no job, or a job whose record cannot be read, stays for people.

Every step is idempotent, and the letter is deleted last: after a crash, the next pass reads where
the record stands and goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from remotejob.domain import claim_decisions, given_up
from remotejob.domain.claim_decisions import after_refused_claim
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.history import Action, entered
from remotejob.domain.odd_items import end_lease
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import checked_record, record_key
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.successors import (
    End,
    expire,
    failed,
    miss,
    store_end,
    tell_of_successor,
)
from remotejob.jobs.messaging.dead_letters import PendingLetter
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.messages import odd_message
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Installation, Received, Refused, Updated

log = logging.getLogger(__name__)

_PACE: Final = timedelta(hours=1)
"""How long until a message that a worker set aside is sent again: the worker may do so at once."""


class Fate(StrEnum):
    """What became of a letter. The first four served its purpose."""

    SENT = "sent again"
    ENDED = "its job has ended"
    FAILED = "its job was failed"
    NEEDLESS = "nothing needs it"
    LATER = "looked at again later"
    KEPT = "kept for people"

    @property
    def served(self) -> bool:
        """Whether the letter may be deleted."""
        return self not in (Fate.LATER, Fate.KEPT)


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a letter, and why."""

    fate: Fate
    why: str


def see_to(letter: Received, installation: Installation, *, by_hand: bool = False) -> Seen:
    """Do what the job of a letter needs; the caller deletes the letter if its purpose is served.

    `by_hand`: somebody asks for it, so a message is sent whatever was sent before, and not counted.

    Raises: StoreUnavailable, QueueUnavailable; the letter stays.
    """
    read = PendingLetter.read(letter.body)
    if read.pending is None:
        return Seen(Fate.KEPT, read.reason)
    item = installation.store.item(record_key(read.pending.job_id))
    if item is None:
        return Seen(Fate.KEPT, f"there is no job {read.pending.job_id}; {read.reason}")
    try:
        record = checked_record(item)
    except UnreadableItem as problem:
        return Seen(Fate.KEPT, str(problem))
    if record is None:
        return Seen(Fate.NEEDLESS, f"job {read.pending.job_id} was removed")
    odd = odd_message(read.pending, letter.address.queue, record)
    if odd is not None:
        return Seen(Fate.KEPT, odd)
    if record.lease_beyond_sense(installation.clock.now_ms()) and not record.terminal:
        record = installation.store.update(end_lease(record)).record or record
    return _see_to(record, letter, read, installation, by_hand=by_hand)


def _see_to(
    record: JobRecord,
    letter: Received,
    read: PendingLetter,
    installation: Installation,
    *,
    by_hand: bool,
) -> Seen:
    now = installation.clock.now_ms()
    match after_refused_claim(record, now_ms=now, skew=installation.skew):
        case claim_decisions.Conclude(ended):
            return _concluded(ended, installation)
        case claim_decisions.Hide():
            # it may be the only message of this run
            return Seen(Fate.LATER, "the job runs, or a cancelled run of it has not stopped yet")
        case claim_decisions.Wait():
            send_for([record], installation)
            return Seen(Fate.SENT, "the job is not due yet")
        case claim_decisions.Drop(reason):
            return Seen(Fate.NEEDLESS, reason)
        case claim_decisions.Expire():
            return _ended_by(expire(record, installation, now_ms=now), installation)
        case claim_decisions.Miss():
            return _ended_by(miss(record, installation, now_ms=now), installation)
        case _:
            return _revived(record, letter, read, installation, by_hand=by_hand)


def _revived(
    record: JobRecord,
    letter: Received,
    read: PendingLetter,
    installation: Installation,
    *,
    by_hand: bool,
) -> Seen:
    """Send another message for a job that could run, unless too many were given up."""
    now = installation.clock.now_ms()
    counts = read.moved_by_queue and not by_hand
    if not by_hand and record.swept_ms is not None:
        if letter.sent_ms < record.swept_ms:
            # by the sweep, or by a pass that died before it deleted this letter
            return Seen(Fate.NEEDLESS, "another message was sent since")
        if not counts and now < record.swept_ms + span_ms(_PACE):
            return Seen(Fate.LATER, f"a message was sent within the last hour; {read.reason}")
    why = f"{read.reason} (received {letter.receives} times)" if counts else None
    if why is not None and not given_up.budget_left(record):
        change = given_up.give_up(record, why=why, now_ms=now, skew_ms=span_ms(installation.skew))
        end = failed(record, change, installation)
        return _given_up(end, installation)
    log.warning(
        "the job's message was given up, and another one is sent: %s",
        read.reason,
        extra=log_fields(record),
    )
    # first sent, then noted: after a crash in between, it is sent twice, and not never
    send_for([record], installation)
    # refused if the job changed meanwhile: then a worker has it
    change = given_up.sent_again(record, why=why, now_ms=now)
    change = entered(change, record, Action.SENT_AGAIN, actor=installation.actor, at_ms=now)
    installation.store.update(change)
    return Seen(Fate.SENT, read.reason)


def _given_up(end: End, installation: Installation) -> Seen:
    outcome = store_end(end, installation)
    if isinstance(outcome, Updated):
        tell_of_successor(end, installation)
    return _ended_by(outcome, installation)


def _ended_by(outcome: Updated | Refused, installation: Installation) -> Seen:
    record = outcome.record
    if record is None or not isinstance(outcome, Updated) or not record.terminal:
        return Seen(Fate.LATER, "the job changed meanwhile")
    why = record.errors[-1].message if record.errors else "it was failed"
    log.warning("the job was failed: %s", why, extra=log_fields(record))
    # what is left undone is marked as owed, and the scheduler does it
    carry_out([record], installation)
    return Seen(Fate.FAILED, why)


def _concluded(record: JobRecord, installation: Installation) -> Seen:
    if carry_out([record], installation):
        return Seen(Fate.ENDED, f"the job is {record.state}")
    return Seen(Fate.LATER, "what follows from the job's end could not be carried out")
