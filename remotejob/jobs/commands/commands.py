"""Commands on one job: pause, resume, make ready, cancel, remove."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from remotejob.domain import command_changes
from remotejob.domain.argument_checks import check_flag
from remotejob.domain.changes import Change
from remotejob.domain.errors import CommandRefused, JobNotFound, StillRunning
from remotejob.domain.locks import limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.states import Command, State, check
from remotejob.domain.times import check_moment, span_ms, to_ms
from remotejob.jobs.commands.changing import (
    TRIES,
    change_job,
    changed_each_time,
    end_carried_out,
    new_token,
    read_job,
    settle_end,
    winds_down,
)
from remotejob.jobs.commands.restart import antecedents_of
from remotejob.jobs.content.removal import Tombstone, clear, tombstone_of
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.dependencies import edges_of
from remotejob.jobs.coordination.locks import holders
from remotejob.jobs.messaging.send import send_and_look
from remotejob.ports import Installation

_MESSAGE_DELIVERED_WITHIN: Final = timedelta(hours=1)
"""How long a completed job's message may take to bring a worker that reports the end."""


def pause(job_id: str, installation: Installation) -> JobRecord:
    """Keep a waiting or ready job from starting until it is resumed.

    Raises: JobNotFound; CommandRefused, naming the states that allow it.
    """
    return change_job(Command.PAUSE, job_id, command_changes.pause, installation)


def resume(job_id: str, installation: Installation) -> JobRecord:
    """Let a paused job go on, due no earlier than before.

    Raises: JobNotFound; CommandRefused.
    """
    record = change_job(Command.RESUME, job_id, command_changes.resume, installation)
    return record if record.blocked else send_and_look(record, installation)


def make_ready(
    job_id: str,
    installation: Installation,
    *,
    at: datetime | None = None,
    independent: bool = False,
) -> JobRecord:
    """Let a waiting job run now, or at `at`, whatever its due time was.

    `independent` drops its dependencies on other jobs. One that follows a batch keeps waiting.

    Raises: JobNotFound; CommandRefused; InvalidData, when `at` has no time zone.
    """
    if at is not None:
        check_moment("at", at)
    check_flag("independent", independent)

    def build(record: JobRecord, *, now_ms: int, token: str) -> Change:
        due_ms = now_ms if at is None else to_ms(at)
        return command_changes.make_ready(
            record, due_ms=due_ms, now_ms=now_ms, independent=independent, token=token
        )

    detail = "it waits for no other job" if independent else ""
    record = change_job(Command.MAKE_READY, job_id, build, installation, detail=detail)
    return record if record.blocked else send_and_look(record, installation)


def cancel(job_id: str, installation: Installation, *, antecedents: bool = False) -> JobRecord:
    """End a job that has not ended, and all jobs that depend on it.

    A running job stops at its next heartbeat. `antecedents` also cancels the jobs it depends on
    that have not ended.

    Raises: JobNotFound; CommandRefused.
    """
    check_flag("antecedents", antecedents)
    record = change_job(Command.CANCEL, job_id, command_changes.cancel, installation)
    # the record owes what is not carried out here, and the scheduler carries it out
    carry_out([record], installation)
    if antecedents:
        # look all of them up first: the end of one cancels others on the way
        for one in antecedents_of([record], lambda one: not one.terminal, installation):
            with suppress(CommandRefused, JobNotFound):
                cancel(one, installation)
    return installation.store.get(job_id) or record


def remove(job_id: str, installation: Installation) -> JobRecord:
    """Delete a job that has ended: its record, log, outputs, and submitted input.

    An uploaded file stays. While a message or an upload event could still come back, a marker
    stays that says only that the job was removed. Returns the record as it was.

    Raises: JobNotFound; CommandRefused; StillRunning, while a cancelled run winds down.
    """
    token = new_token(installation)
    record = _read_or_clear(job_id, installation)
    for _ in range(TRIES):
        check(Command.REMOVE, job_id=job_id, state=record.state)
        if winds_down(record, installation):
            raise StillRunning(job_id)
        record = settle_end(record, installation)
        if _end_unreported(record, installation) and not end_carried_out(record, installation):
            raise StillRunning(job_id)
        now = installation.clock.now_ms()
        step = command_changes.remove(
            record,
            now_ms=now,
            kept_ms=2 * span_ms(installation.retention),
            token=token,
            skew=installation.skew,
        )
        conflict = installation.store.transact([step])
        left = step.content if conflict is None else conflict.item
        tombstone = Tombstone.of(job_id, left)
        if tombstone is not None and tombstone.token == token:
            # even if it was refused: an earlier request, whose answer was lost, removed the job
            clear(tombstone, installation)
            return record
        record = _read_or_clear(job_id, installation)
    raise changed_each_time(Command.REMOVE, job_id)


def _read_or_clear(job_id: str, installation: Installation) -> JobRecord:
    """Read a job to remove; of one that was removed, delete what is left.

    Raises: JobNotFound.
    """
    try:
        return read_job(job_id, installation)
    except JobNotFound:
        tombstone = tombstone_of(job_id, installation)
        if tombstone is not None:
            clear(tombstone, installation)
        raise


def _end_unreported(record: JobRecord, installation: Installation) -> bool:
    """Whether only its message stands for the consequences of a completed job's end.

    If the job were removed, that message would have nothing left to report. The scheduler looks
    after the job that repeats it.
    """
    if record.state is not State.COMPLETED or record.batch is not None:
        # any other end notes in the record what it owes
        return False
    finished = record.finished_ms or 0
    if finished + span_ms(_MESSAGE_DELIVERED_WITHIN) > installation.clock.now_ms():
        return True
    if record.dependents and not all(edge.spent for edge in edges_of(record.id, installation)):
        return True
    held = (one for limit in limits_of(record) for one in holders(limit, installation))
    return any(one.job_id == record.id for one in held)
