"""Sends the messages that bring jobs to workers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from remotejob.domain import changes
from remotejob.domain.record import JobRecord
from remotejob.domain.schedule import first_look
from remotejob.domain.states import State
from remotejob.envelope import Pending, pending_address
from remotejob.hooks import Event
from remotejob.ports import Address, Installation, Outgoing


def send_for(records: Sequence[JobRecord], installation: Installation) -> None:
    """Send the pending messages of jobs, delayed to their due times.

    A job due beyond the queue's longest delay gets none: the scheduler sends it in time.

    Raises: QueueUnavailable.
    """
    now = installation.clock.now_ms()
    lanes: defaultdict[Address, list[Outgoing]] = defaultdict(list)
    staged: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    for record in records:
        if record.blocked or record.parked:
            # whoever lets it go on sends for it
            continue
        delay = timedelta(milliseconds=max(0, (record.due_ms or 0) - now))
        if delay <= installation.messages.capabilities.max_delay:
            message = Outgoing(body=Pending.of(record).body(), delay=delay, group=record.tenant)
            address = pending_address(record, installation.queues)
            lanes[address].append(message)
            staged[address].append(record)
    for address, messages in lanes.items():
        installation.messages.send(address, messages)
        for record in staged[address]:
            installation.hooks.tell(Event.STAGED, record, installation)


def send_and_look(record: JobRecord, installation: Installation) -> JobRecord:
    """Send for a job that was marked for it, then move the mark to when that is overdue.

    Raises: QueueUnavailable; the mark stays, and the scheduler sends.
    """
    send_for([record], installation)
    if record.attention is None:
        return record
    now = installation.clock.now_ms()
    look = first_look(
        record.due_ms or now,
        now_ms=now,
        max_delay=installation.messages.capabilities.max_delay,
    )
    outcome = installation.store.update(changes.move_mark(record, to_ms=look))
    return outcome.record or record


def send_if_free(record: JobRecord | None, installation: Installation) -> None:
    """Send for a job that waits for nothing but its time, if it does."""
    if record is None or record.blocked or record.parked:
        return
    if record.state is State.WAITING:
        send_and_look(record, installation)
