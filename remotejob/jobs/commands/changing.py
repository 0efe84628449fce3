"""Changes a job on command: read it, check its state, change it, retry if it changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from remotejob.domain.changes import Change
from remotejob.domain.errors import AccessProblem, JobNotFound, StillRunning, StoreUnavailable
from remotejob.domain.history import Action, entered
from remotejob.domain.record import JobRecord
from remotejob.domain.states import Command, check
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.ports import Installation, Updated

_ACTIONS: Final = {
    Command.PAUSE: Action.PAUSED,
    Command.RESUME: Action.RESUMED,
    Command.MAKE_READY: Action.MADE_READY,
    Command.CANCEL: Action.CANCELLED,
}

TRIES: Final = 5
"""How often a command reads a record that keeps changing before it gives up."""


def read_job(job_id: str, installation: Installation) -> JobRecord:
    """Raises: JobNotFound."""
    record = installation.store.get(job_id)
    if record is None:
        raise JobNotFound(job_id)
    return record


def change_job(
    command: Command,
    job_id: str,
    build: Callable[..., Change],
    installation: Installation,
    *,
    detail: str = "",
) -> JobRecord:
    """Read the record, check that its state allows the command, and change it.

    If the record changes in between, read it again: the command may no longer be allowed. `build`
    makes the change of the record, `now_ms` and the command's `token`. The job's log names the
    command, with the `detail`.

    Raises: JobNotFound; CommandRefused; StoreUnavailable.
    """
    token = new_token(installation)
    for _ in range(TRIES):
        record = read_job(job_id, installation)
        if record.token == token:
            # an earlier request, whose answer was lost, made the change
            return record
        check(command, job_id=job_id, state=record.state)
        change = build(record, now_ms=installation.clock.now_ms(), token=token)
        change = entered(change, record, _ACTIONS[command], actor=installation.actor, detail=detail)
        outcome = installation.store.update(change)
        if isinstance(outcome, Updated):
            return outcome.record
    raise changed_each_time(command, job_id)


def new_token(installation: Installation) -> str:
    """What a command leaves in the record, to know its own effect."""
    return installation.entropy(8).hex()


def changed_each_time(command: Command, job_id: str) -> StoreUnavailable:
    return StoreUnavailable(f"job {job_id} changed each time it was read; {command} it again")


def settle_end(record: JobRecord, installation: Installation) -> JobRecord:
    """Carry out what the job's end still owes; return the record, which then owes nothing.

    Until then the job can neither restart nor be removed.

    Raises: StillRunning; AccessProblem.
    """
    if record.owed is None:
        return record
    if record.locked and winds_down(record, installation):
        # its lock cannot be freed yet, and each try would send the status message again
        raise StillRunning(record.id)
    end_carried_out(record, installation)
    record = read_job(record.id, installation)
    if record.owed is not None:
        raise StillRunning(record.id)
    return record


def winds_down(record: JobRecord, installation: Installation) -> bool:
    """Whether a run of a cancelled job may still be at work."""
    now = installation.clock.now_ms()
    return record.run_id is not None and record.live(
        record.run_id, now, skew_ms=span_ms(installation.skew)
    )


def end_carried_out(record: JobRecord, installation: Installation) -> bool:
    """Carry out the consequences of the job's end; whether all of them succeeded.

    Raises: AccessProblem, when these credentials may not carry them out.
    """
    denied: list[AccessProblem] = []
    done = carry_out([record], installation, denied=denied)
    if denied:
        raise denied[0]
    return bool(done)
