"""What follows from the end of a job, carried out before its message is deleted.

The status message is sent, jobs that depend on it go on or are cancelled, its locks are let go
of, the job that repeats it is sent for. Every step is idempotent: a worker that dies on the way
leaves the message, and whoever receives it next carries them all out again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from remotejob.domain.changes import settle
from remotejob.domain.errors import AccessProblem, QueueUnavailable
from remotejob.domain.events import Event
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.batch_counts import count_ended
from remotejob.jobs.coordination.dependencies import follow_edges
from remotejob.jobs.coordination.locks import unlock
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.messages import status_address, status_body
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Address, Installation, Outgoing

log = logging.getLogger(__name__)

T = TypeVar("T")


def carry_out(
    records: Sequence[JobRecord],
    installation: Installation,
    *,
    denied: list[AccessProblem] | None = None,
) -> list[JobRecord]:
    """Carry out the consequences of jobs that have ended; return those that are done with.

    Each is carried out by itself: one that is refused does not hold back the others, and is
    left, with its message or its mark, for another try. `denied` gets what these credentials
    may not do, for a caller who can say so.
    """
    done: list[JobRecord] = []
    ended: Sequence[JobRecord] = records
    while ended:
        told = _told(ended, installation, denied)
        cancelled: list[JobRecord] = []
        seen_to: list[JobRecord] = []
        for record in ended:
            followed = _followed(record, cancelled, installation)
            if not (followed and record.id in told):
                continue
            _tell_hooks(record, installation)
            seen_to.append(record)
        done += _settled(seen_to, installation)
        # the end of a job can cancel others, whose end cancels others again
        ended = cancelled
    return [record for record in done if record in records]


def _told(
    records: Sequence[JobRecord], installation: Installation, denied: list[AccessProblem] | None
) -> set[str]:
    """Send the status messages; the ids of the jobs whose message was taken."""
    by_address: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    told: set[str] = set()
    for record in records:
        if record.queue in installation.queues:
            by_address[status_address(record)].append(record)
        else:
            # its queue is no longer deployed: there is nobody to be told
            told.add(record.id)
    for address, ended in by_address.items():
        messages = [Outgoing(body=status_body(job)) for job in ended]
        told |= {record.id for record in sent(address, ended, messages, installation, denied)}
    return told


def _followed(record: JobRecord, cancelled: list[JobRecord], installation: Installation) -> bool:
    """Whether everything but the status message was done. A plain job has nothing of it."""
    steps: list[Callable[[], bool]] = []
    if record.dependents:
        steps.append(lambda: _released(record, cancelled, installation))
    if record.locked:
        steps.append(lambda: unlock(record, installation))
    if record.next_id is not None:
        steps.append(lambda: _sent_next(record, installation))
    # each of them, also after one that failed
    outcomes = [_done(step, record) for step in steps]
    return all(outcomes)


def _done(step: Callable[[], bool], record: JobRecord) -> bool:
    try:
        return step()
    except Exception:
        # one that is refused does not hold back the others
        log.exception("consequence not carried out; tried again", extra=log_fields(record))
        return False


def _released(record: JobRecord, cancelled: list[JobRecord], installation: Installation) -> bool:
    followed = follow_edges(record, installation)
    cancelled += followed.cancelled
    return followed.all


def _sent_next(record: JobRecord, installation: Installation) -> bool:
    assert record.next_id is not None
    successor = installation.store.get(record.next_id)
    if successor is not None and successor.attempt == 0 and not successor.terminal:
        send_for([successor], installation)
    return True


def sent(
    address: Address,
    what: Sequence[T],
    messages: Sequence[Outgoing],
    installation: Installation,
    denied: list[AccessProblem] | None = None,
) -> list[T]:
    """Send a message for each of `what`; return those whose message was taken."""
    try:
        installation.messages.send(address, messages)
    except QueueUnavailable as refusal:
        log.error("%s; they will be tried again", refusal)  # noqa: TRY400 (it says everything)
        refused = refusal.refused
        if refused is None:
            return []
        return [one for number, one in enumerate(what) if number not in refused]
    except Exception as problem:
        if denied is not None and isinstance(problem, AccessProblem):
            denied.append(problem)
        log.exception("messages not sent; they will be tried again", extra={"queue": address})
        return []
    return list(what)


def _tell_hooks(record: JobRecord, installation: Installation) -> None:
    """Last, so that what is tried again tells them once."""
    if record.state is State.COMPLETED:
        installation.hooks.tell(Event.COMPLETED, record, installation)
    elif record.state is State.FAILED:
        last = record.errors[-1] if record.errors else None
        installation.hooks.tell(Event.FAILED, record, installation, failure=last)
    elif record.owed is not None:
        # whoever cancelled it has told; its message reaches a worker later, or its run winds down
        installation.hooks.tell(Event.CANCELLED, record, installation)


def _settled(records: Sequence[JobRecord], installation: Installation) -> list[JobRecord]:
    """Note that nothing is owed any more; those of which it is noted."""
    alone = [record for record in records if record.batch is None or record.owed is None]
    counting = [record for record in records if not (record.batch is None or record.owed is None)]
    settled = [record for record in alone if _settled_alone(record, installation)]
    return settled + count_ended(counting, installation)


def _settled_alone(record: JobRecord, installation: Installation) -> bool:
    if record.owed is None:
        return True
    try:
        installation.store.update(settle(record, retention_ms=span_ms(installation.retention)))
    except Exception:
        log.exception("cannot note that nothing is owed", extra=log_fields(record))
        return False
    return True
