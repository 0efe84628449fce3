"""What a manager does to one job: pause, resume, make ready, cancel, restart, remove."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final

from remotejob.batches.counting import uncount
from remotejob.consequences import carry_out
from remotejob.depending import edges_of, store_dependent
from remotejob.domain import managing
from remotejob.domain.batch_steps import restart_counted
from remotejob.domain.changes import Change
from remotejob.domain.errors import (
    AccessProblem,
    InvalidData,
    JobNotFound,
    StillRunning,
    StoreUnavailable,
)
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import Command, State, check
from remotejob.domain.times import span_ms, to_ms
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Area, Installation, Updated
from remotejob.sending import send_and_look

log = logging.getLogger(__name__)

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
    record = _made(Command.RESUME, job_id, managing.resume, installation)
    return record if record.blocked else send_and_look(record, installation)


def make_ready(
    job_id: str,
    installation: Installation,
    *,
    at: datetime | None = None,
    independent: bool = False,
) -> JobRecord:
    """Let a waiting job run now, or at `at`, whatever its time was.

    With `independent` it depends on no other job any more.

    Raises: JobNotFound; CommandRefused; InvalidData, when `at` has no time zone.
    """
    if at is not None and at.tzinfo is None:
        raise InvalidData(f"at={at!r}: give it a time zone")

    def build(record: JobRecord, *, now_ms: int) -> Change:
        due_ms = now_ms if at is None else to_ms(at)
        return managing.make_ready(record, due_ms=due_ms, now_ms=now_ms, independent=independent)

    record = _made(Command.MAKE_READY, job_id, build, installation)
    return record if record.blocked else send_and_look(record, installation)


def restart(
    job_id: str,
    installation: Installation,
    *,
    retry: Retry | None = None,
    antecedents: bool = True,
    dependents: bool = False,
) -> JobRecord:
    """Run a job again that failed or was cancelled; its failures count from nothing.

    `antecedents`: jobs it depends on that failed or were cancelled are restarted first.
    `dependents`: those that depend on it and were cancelled are restarted after it.

    Raises: JobNotFound; CommandRefused; DependencyEnded, when a job it depends on is not restarted.
    """
    record = _found(job_id, installation)
    check(Command.RESTART, job_id=job_id, state=record.state)
    if antecedents:
        for one in installation.store.get_many(record.depends):
            if one.state in (State.FAILED, State.CANCELLED):
                restart(one.id, installation)
    restarted = _restarted(job_id, retry, installation)
    if not restarted.blocked:
        restarted = send_and_look(restarted, installation)
    if dependents:
        for one in _dependents(job_id, installation):
            if one.state is State.CANCELLED:
                restart(one.id, installation, dependents=True)
    return restarted


def cancel(job_id: str, installation: Installation, *, antecedents: bool = False) -> JobRecord:
    """End a job that has not ended, and all that depend on it.

    One that runs is stopped at its next heartbeat. `antecedents`: jobs it depends on that have
    not ended are cancelled as well.

    Raises: JobNotFound; CommandRefused.
    """
    record = _made(Command.CANCEL, job_id, managing.cancel, installation)
    # what is not carried out here is owed, and the scheduler carries it out
    carry_out([record], installation)
    if antecedents:
        for one in installation.store.get_many(record.depends):
            if not one.terminal:
                cancel(one.id, installation, antecedents=True)
    return installation.store.get(job_id) or record


def remove(job_id: str, installation: Installation) -> JobRecord:
    """Take away a job that has ended: its record, log, outputs, and the input it was given.

    A file that was uploaded stays. What is left behind, for as long as a message or an upload's
    event could come back, says that the job was removed, and nothing else. Returns the record as
    it was.

    Raises: JobNotFound; CommandRefused; StillRunning, while a cancelled run winds down.
    """
    record = _found(job_id, installation)
    for _ in range(_TRIES):
        check(Command.REMOVE, job_id=job_id, state=record.state)
        record = _owing_nothing(record, installation)
        # what a completed job's end means to others is promised by its message alone, which
        # would find nothing left to tell of
        if record.state is State.COMPLETED and not _carried_out(record, installation):
            raise StillRunning(job_id)
        now = installation.clock.now_ms()
        step = managing.remove(record, now_ms=now, kept_ms=2 * span_ms(installation.retention))
        if installation.store.transact([step]) is None:
            _clear(record, installation)
            return record
        record = _found(job_id, installation)
    raise StoreUnavailable(f"job {job_id} changed each time it was read; remove it again")


def _clear(record: JobRecord, installation: Installation) -> None:
    store, files = installation.store, installation.files
    for prefix in NOTES:
        for name, _text in list(store.notes(record.id, prefix)):
            store.transact([managing.erase_note(record.id, name)])
    outputs = list(files.keys(Area.OUTPUT, f"{record.queue}/{record.id}/"))
    files.delete(Area.OUTPUT, outputs)
    if record.next_id is None:
        # else the job that repeats it reads them, until they go by themselves
        ours = files.keys(Area.INPUT, f"{INPUT_PREFIX_SUBMITTED}{record.id}/")
        files.delete(Area.INPUT, list(ours))


NOTES: Final = ("failure#", "log#")
"""What is kept beside a record for its readers."""


def _restarted(job_id: str, retry: Retry | None, installation: Installation) -> JobRecord:
    for _ in range(_TRIES):
        record = _found(job_id, installation)
        check(Command.RESTART, job_id=job_id, state=record.state)
        record = _owing_nothing(record, installation)
        now = installation.clock.now_ms()
        if not record.depends and record.batch is None:
            change = managing.restart(record, now_ms=now, retry=retry)
            outcome = installation.store.update(change)
            if isinstance(outcome, Updated):
                return outcome.record
            if outcome.record is not None and _as_built(outcome.record, change):
                # our own write, whose answer was lost
                return outcome.record
            continue
        stored = store_dependent(
            record,
            record.depends,
            installation,
            storing=partial(_restarting, record, now, retry),
            # a child of a batch is counted no more
            others=uncount(record, installation),
        )
        if stored is not None:
            return installation.store.get(job_id) or stored
    raise StoreUnavailable(f"job {job_id} changed each time it was read; restart it again")


def _restarting(record: JobRecord, now_ms: int, retry: Retry | None, blocked: JobRecord) -> Change:
    change = managing.restart(record, now_ms=now_ms, retry=retry, blocked=blocked.blocked)
    return change if record.batch is None else restart_counted(change, record)


def _dependents(job_id: str, installation: Installation) -> Iterable[JobRecord]:
    ids = [edge.dependent for edge in edges_of(job_id, installation)]
    return installation.store.get_many(ids)


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
        record = _found(job_id, installation)
        check(command, job_id=job_id, state=record.state)
        change = build(record, now_ms=installation.clock.now_ms())
        outcome = installation.store.update(change)
        if isinstance(outcome, Updated):
            return outcome.record
        if outcome.record is not None and _as_built(outcome.record, change):
            # our own write, whose answer was lost
            return outcome.record
    raise StoreUnavailable(f"job {job_id} changed each time it was read; {command} it again")


def _found(job_id: str, installation: Installation) -> JobRecord:
    record = installation.store.get(job_id)
    if record is None:
        raise JobNotFound(job_id)
    return record


def _owing_nothing(record: JobRecord, installation: Installation) -> JobRecord:
    """The record once its end was told: before that it can neither begin anew nor go.

    Raises: StillRunning.
    """
    if record.owed is None:
        return record
    _carried_out(record, installation)
    record = _found(record.id, installation)
    if record.owed is not None:
        raise StillRunning(record.id)
    return record


def _carried_out(record: JobRecord, installation: Installation) -> bool:
    """Whether the consequences are done with. Raises: AccessProblem, when they may not be done."""
    denied: list[AccessProblem] = []
    done = carry_out([record], installation, denied=denied)
    if denied:
        raise denied[0]
    return bool(done)


def _as_built(record: JobRecord, change: Change) -> bool:
    item = record.to_item()
    return all(item.get(name) == value for name, value in change.set.items())
