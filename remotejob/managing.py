"""What a manager does to a job: pause, resume, cancel, restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from remotejob.consequences import carry_out
from remotejob.domain import changes, managing
from remotejob.domain.changes import Change
from remotejob.domain.errors import JobNotFound, StoreUnavailable
from remotejob.domain.record import JobRecord
from remotejob.domain.schedule import first_look
from remotejob.domain.states import Command, check
from remotejob.ports import Installation, Updated
from remotejob.submitting import send_for

_TRIES: Final = 5


def pause(job_id: str, installation: Installation) -> JobRecord:
    """Keep a waiting or ready job from starting, until it is resumed.

    Raises: JobNotFound; CommandRefused, naming the states that allow it.
    """
    return _made(Command.PAUSE, job_id, managing.pause, installation)


def resume(job_id: str, installation: Installation) -> JobRecord:
    """Let a paused job go on, due no earlier than before.

    Raises: JobNotFound; CommandRefused.
    """
    return _sent_for(_made(Command.RESUME, job_id, managing.resume, installation), installation)


def restart(job_id: str, installation: Installation) -> JobRecord:
    """Run a job again that failed or was cancelled; its failures count from nothing.

    Raises: JobNotFound; CommandRefused.
    """
    return _sent_for(_made(Command.RESTART, job_id, managing.restart, installation), installation)


def cancel(job_id: str, installation: Installation) -> JobRecord:
    """End a job that has not ended. One that runs is stopped at its next heartbeat.

    Raises: JobNotFound; CommandRefused.
    """
    record = _made(Command.CANCEL, job_id, managing.cancel, installation)
    # what is not carried out here is owed, and the scheduler carries it out
    carry_out([record], installation)
    return installation.store.get(job_id) or record


def _made(
    command: Command,
    job_id: str,
    build: Callable[..., Change],
    installation: Installation,
) -> JobRecord:
    """Read the record, check that its state allows the command, and change it.

    When the record changes in between it is read again: what was allowed may not be any more.
    """
    for _ in range(_TRIES):
        record = installation.store.get(job_id)
        if record is None:
            raise JobNotFound(job_id)
        check(command, job_id=job_id, state=record.state)
        if record.owed is not None:
            # its end is told before it can begin anew
            carry_out([record], installation)
            record = installation.store.get(job_id) or record
        change = build(record, now_ms=installation.clock.now_ms())
        outcome = installation.store.update(change)
        if isinstance(outcome, Updated):
            return outcome.record
        if outcome.record is not None and _as_built(outcome.record, change):
            # our own write, whose answer was lost
            return outcome.record
    raise StoreUnavailable(f"job {job_id} changed each time it was read; {command} it again")


def _as_built(record: JobRecord, change: Change) -> bool:
    item = record.to_item()
    return all(item.get(name) == value for name, value in change.set.items())


def _sent_for(record: JobRecord, installation: Installation) -> JobRecord:
    """Send for a job that was marked due for it, then move the mark to when that is overdue."""
    send_for([record], installation)
    now = installation.clock.now_ms()
    look = first_look(
        record.due_ms or now,
        now_ms=now,
        max_delay=installation.messages.capabilities.max_delay,
    )
    outcome = installation.store.update(changes.move_mark(record, to_ms=look))
    return outcome.record or record
