"""Carries out the consequences of a job's end, before its message is deleted.

They are: send the status message, release or cancel the jobs that depend on it, free its locks,
and send the message of the job that repeats it. Every step is idempotent. If a worker dies on the
way, the message comes back and its next receiver carries out all steps again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from remotejob.domain.errors import AccessProblem, QueueUnavailable
from remotejob.domain.events import Event
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.domain.upkeep_changes import settle
from remotejob.jobs.coordination.batch_counts import count_ended
from remotejob.jobs.coordination.dependencies import follow_edges
from remotejob.jobs.coordination.locks import unlock
from remotejob.jobs.coordination.series import stop_if_outdated
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
    """Carry out the consequences of jobs that have ended; return the jobs that are finished.

    One job's failure does not hold back the others: it keeps its message or its mark for another
    try. `denied` collects what these credentials may not do, for callers that report it.
    """
    done: list[JobRecord] = []
    ended: Sequence[JobRecord] = records
    while ended:
        reported = _send_status(ended, installation, denied)
        cancelled: list[JobRecord] = []
        finished: list[JobRecord] = []
        for record in ended:
            followed = _carry_out_other_steps(record, cancelled, installation)
            if not (followed and record.id in reported):
                continue
            _notify_hooks(record, installation)
            finished.append(record)
        done += _settle(finished, installation)
        # the end of a job can cancel others, and their end more; what the end of another queue's
        # job asks for is not ours to send, and its mark has the scheduler do it
        ended = [record for record in cancelled if installation.may_send_to(record.queue)]
    return [record for record in done if record in records]


def _send_status(
    records: Sequence[JobRecord], installation: Installation, denied: list[AccessProblem] | None
) -> set[str]:
    """Send the status messages; return the ids of the jobs whose message was accepted."""
    by_address: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    reported: set[str] = set()
    for record in records:
        if record.queue in installation.queues:
            by_address[status_address(record)].append(record)
        else:
            # its queue is no longer deployed: nobody would receive the message
            reported.add(record.id)
    for address, ended in by_address.items():
        told = [(job, body) for job in ended if (body := _status_body(job)) is not None]
        messages = [Outgoing(body=body) for _, body in told]
        sent = send_each(address, [job for job, _ in told], messages, installation, denied)
        reported |= {record.id for record in sent}
    return reported


def _status_body(record: JobRecord) -> str | None:
    try:
        return status_body(record)
    except Exception:
        # one bad record must not hold back the others
        log.exception("status message not written", extra=log_fields(record))
        return None


def _carry_out_other_steps(
    record: JobRecord, cancelled: list[JobRecord], installation: Installation
) -> bool:
    """Do everything except the status message; whether all of it succeeded.

    A plain job needs nothing else.
    """
    steps: list[Callable[[], bool]] = []
    if record.dependents:
        steps.append(lambda: _follow_dependents(record, cancelled, installation))
    if record.locked:
        steps.append(lambda: unlock(record, installation))
    if record.next_id is not None:
        steps.append(lambda: _send_next(record, cancelled, installation))
    # run all of them, even after a failure
    outcomes = [_try_step(step, record) for step in steps]
    return all(outcomes)


def _try_step(step: Callable[[], bool], record: JobRecord) -> bool:
    try:
        return step()
    except Exception:
        # one failing step must not hold back the others
        log.exception("consequence not carried out; will be tried again", extra=log_fields(record))
        return False


def _follow_dependents(
    record: JobRecord, cancelled: list[JobRecord], installation: Installation
) -> bool:
    followed = follow_edges(record, installation)
    cancelled += followed.cancelled
    return followed.all


def _send_next(record: JobRecord, cancelled: list[JobRecord], installation: Installation) -> bool:
    """Send the message of the successor, unless the repeats were replaced while it was made."""
    assert record.next_id is not None
    successor = installation.store.get(record.next_id)
    if successor is None or successor.attempt > 0 or successor.terminal:
        return True
    stopped = stop_if_outdated(successor, installation)
    if stopped is None:
        send_for([successor], installation)
    else:
        cancelled.append(stopped)
    return True


def send_each(
    address: Address,
    what: Sequence[T],
    messages: Sequence[Outgoing],
    installation: Installation,
    denied: list[AccessProblem] | None = None,
) -> list[T]:
    """Send a message for each item of `what`; return the items whose message was accepted."""
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


def _notify_hooks(record: JobRecord, installation: Installation) -> None:
    """Call this last: retries of the earlier steps then notify the hooks only once."""
    if record.state is State.COMPLETED:
        installation.hooks.tell(Event.COMPLETED, record, installation)
    elif record.state is State.FAILED:
        last = record.errors[-1] if record.errors else None
        installation.hooks.tell(Event.FAILED, record, installation, failure=last)
    elif record.owed is not None:
        # if nothing is owed, the cancel has notified the hooks; now the job's message has reached a
        # worker, or its run winds down
        installation.hooks.tell(Event.CANCELLED, record, installation)


def _settle(records: Sequence[JobRecord], installation: Installation) -> list[JobRecord]:
    """Note that the jobs owe nothing any more; return those for which it succeeded."""
    alone = [record for record in records if record.batch is None or record.owed is None]
    counting = [record for record in records if not (record.batch is None or record.owed is None)]
    settled = [record for record in alone if _settle_alone(record, installation)]
    return settled + count_ended(counting, installation)


def _settle_alone(record: JobRecord, installation: Installation) -> bool:
    if record.owed is None:
        return True
    try:
        installation.store.update(settle(record, retention_ms=span_ms(installation.retention)))
    except Exception:
        log.exception("cannot note that nothing is owed", extra=log_fields(record))
        return False
    return True
