"""Sends the messages that bring jobs to workers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from remotejob.domain import upkeep_changes
from remotejob.domain.check_times import first_look
from remotejob.domain.events import Event
from remotejob.domain.name_rules import group_of
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.messages import Pending, pending_address
from remotejob.ports import Address, Installation, Outgoing
from remotejob.tracing import Trace

log = logging.getLogger(__name__)


def send_for(
    records: Sequence[JobRecord], installation: Installation, *, trace: Trace | None = None
) -> None:
    """Send the pending messages of jobs, delayed to their due times.

    They carry `trace`. A job due beyond the queue's longest delay gets none yet, and one of a queue
    that this process may not send to gets none from here: the scheduler sends it in time.

    Raises: QueueUnavailable.
    """
    now = installation.clock.now_ms()
    lanes: defaultdict[Address, list[Outgoing]] = defaultdict(list)
    staged: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    for record in records:
        if record.blocked or record.parked:
            # whatever releases the job sends its message
            continue
        if not installation.may_send_to(record.queue):
            log.info("left to the scheduler: another queue's job", extra=log_fields(record))
            continue
        if record.queue not in installation.queues:
            # a released job may belong to a queue that is no longer deployed: the scheduler sends
            # its message once the queue is back
            log.warning("queue %r is not deployed", record.queue, extra=log_fields(record))
            continue
        delay = timedelta(milliseconds=max(0, (record.due_ms or 0) - now))
        if delay <= installation.messages.capabilities.max_delay:
            body = Pending.of(record, trace=trace).body()
            message = Outgoing(body=body, delay=delay, group=group_of(record.tenant))
            address = pending_address(record, installation.queues)
            lanes[address].append(message)
            staged[address].append(record)
    for address, messages in lanes.items():
        installation.messages.send(address, messages)
        for record in staged[address]:
            installation.hooks.tell(Event.STAGED, record, installation)


def send_and_look(record: JobRecord, installation: Installation) -> JobRecord:
    """Send the message of a marked job, then move its mark to when the message is overdue.

    Raises: QueueUnavailable; the mark stays, and the scheduler sends.
    """
    (moved,) = send_and_look_at_all([record], installation)
    return moved


def send_and_look_at_all(
    records: Sequence[JobRecord], installation: Installation
) -> list[JobRecord]:
    """Send the messages of jobs in as few requests as possible, then move their marks.

    The mark of a job that may not be sent from here stays: it is due, and the scheduler sends.

    Raises: QueueUnavailable; the marks stay, and the scheduler sends.
    """
    send_for(records, installation)
    now = installation.clock.now_ms()
    max_delay = installation.messages.capabilities.max_delay
    moved: list[JobRecord] = []
    for record in records:
        sent = installation.may_send_to(record.queue) and record.queue in installation.queues
        if record.attention is None or not sent:
            moved.append(record)
            continue
        check_ms = first_look(record.due_ms or now, now_ms=now, max_delay=max_delay)
        outcome = installation.store.update(upkeep_changes.move_mark(record, to_ms=check_ms))
        moved.append(outcome.record or record)
    return moved


def send_if_free(record: JobRecord | None, installation: Installation) -> None:
    """Send the message of a job if it waits for nothing but its due time."""
    if record is None or record.blocked or record.parked:
        return
    if record.state is State.WAITING:
        send_and_look(record, installation)
