"""What a manager does to one job: pause, resume, make ready, cancel, restart, remove."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from graphlib import TopologicalSorter
from typing import Final

from remotejob.domain import command_changes
from remotejob.domain.batch_changes import restart_counted
from remotejob.domain.batches import is_batch_id
from remotejob.domain.changes import Change
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.dependencies import cancelled_with
from remotejob.domain.errors import (
    AccessProblem,
    CommandRefused,
    JobNotFound,
    RemoteJobError,
    StillRunning,
    StoreUnavailable,
)
from remotejob.domain.locks import limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.states import Command, State, check
from remotejob.domain.times import check_moment, span_ms, to_ms
from remotejob.jobs.coordination.batch_counts import uncount
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.dependencies import edges_of, store_dependent
from remotejob.jobs.coordination.locks import holders
from remotejob.jobs.messaging.send import send_and_look
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import Area, Installation, Updated

log = logging.getLogger(__name__)

_TRIES: Final = 5

_ON_ITS_WAY: Final = timedelta(hours=1)
"""How long the message of a job that completed may take to tell of it."""


def pause(job_id: str, installation: Installation) -> JobRecord:
    """Keep a waiting or ready job from starting, until it is resumed.

    Raises: JobNotFound; CommandRefused, naming the states that allow it.
    """
    return _made(Command.PAUSE, job_id, command_changes.pause, installation)


def resume(job_id: str, installation: Installation) -> JobRecord:
    """Let a paused job go on, due no earlier than before.

    Raises: JobNotFound; CommandRefused.
    """
    record = _made(Command.RESUME, job_id, command_changes.resume, installation)
    return record if record.blocked else send_and_look(record, installation)


def make_ready(
    job_id: str,
    installation: Installation,
    *,
    at: datetime | None = None,
    independent: bool = False,
) -> JobRecord:
    """Let a waiting job run now, or at `at`, whatever its time was.

    With `independent` it depends on no other job any more. One that follows a batch still does.

    Raises: JobNotFound; CommandRefused; InvalidData, when `at` has no time zone.
    """
    if at is not None:
        check_moment("at", at)

    def build(record: JobRecord, *, now_ms: int) -> Change:
        due_ms = now_ms if at is None else to_ms(at)
        return command_changes.make_ready(
            record, due_ms=due_ms, now_ms=now_ms, independent=independent
        )

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

    `antecedents`: jobs it still waits for that failed or were cancelled are restarted first, and
    those that they wait for before them. `dependents`: those that were cancelled with it are
    restarted after it, and what they wait for, if antecedents are to be.

    Raises: JobNotFound; CommandRefused; DependencyEnded, when a job it waits for is not restarted;
    StillRunning; what kept a dependent from being restarted, after the others.
    """
    record = _found(job_id, installation)
    check(Command.RESTART, job_id=job_id, state=record.state)
    if antecedents:
        for one in _in_order(_antecedents([record], _to_restart, installation)):
            _restart_another(one, installation)
    restarted = _restarted(job_id, retry, installation)
    if dependents:
        _restart_dependents(record, installation, antecedents=antecedents)
    return restarted


def cancel(job_id: str, installation: Installation, *, antecedents: bool = False) -> JobRecord:
    """End a job that has not ended, and all that depend on it.

    One that runs is stopped at its next heartbeat. `antecedents`: jobs it depends on that have
    not ended are cancelled as well.

    Raises: JobNotFound; CommandRefused.
    """
    record = _made(Command.CANCEL, job_id, command_changes.cancel, installation)
    # what is not carried out here is owed, and the scheduler carries it out
    carry_out([record], installation)
    if antecedents:
        # all of them are looked up first: the end of one cancels others on the way
        for one in _antecedents([record], _to_cancel, installation):
            with suppress(CommandRefused, JobNotFound):
                cancel(one, installation)
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
        if _winds_down(record, installation):
            raise StillRunning(job_id)
        record = _owing_nothing(record, installation)
        if _promised(record, installation) and not _carried_out(record, installation):
            raise StillRunning(job_id)
        now = installation.clock.now_ms()
        step = command_changes.remove(
            record, now_ms=now, kept_ms=2 * span_ms(installation.retention)
        )
        if installation.store.transact([step]) is None:
            _clear(record, installation)
            return record
        record = _found(job_id, installation)
    raise StoreUnavailable(f"job {job_id} changed each time it was read; remove it again")


def _clear(record: JobRecord, installation: Installation) -> None:
    store, files = installation.store, installation.files
    for prefix in NOTES:
        for name, _text in list(store.notes(record.id, prefix)):
            store.transact([command_changes.erase_note(record.id, name)])
    outputs = list(files.keys(Area.OUTPUT, f"{record.queue}/{record.id}/"))
    files.delete(Area.OUTPUT, outputs)
    if record.next_id is None:
        # else the job that repeats it reads them, until they go by themselves
        ours = files.keys(Area.INPUT, f"{INPUT_PREFIX_SUBMITTED}{record.id}/")
        files.delete(Area.INPUT, list(ours))


NOTES: Final = ("failure#", "log#")
"""What is kept beside a record for its readers."""


def _to_restart(record: JobRecord) -> bool:
    return record.state in (State.FAILED, State.CANCELLED)


def _to_cancel(record: JobRecord) -> bool:
    return not record.terminal


def _waits_for(record: JobRecord) -> list[str]:
    """The jobs among what blocks a record. One leaves it by completing, and then may go."""
    return sorted(one for one in record.blocked or () if not is_batch_id(one))


def _batches_of(record: JobRecord) -> frozenset[str]:
    return frozenset(filter(is_batch_id, record.blocked or ()))


def _antecedents(
    records: Iterable[JobRecord], wanted: Callable[[JobRecord], bool], installation: Installation
) -> dict[str, JobRecord]:
    """What jobs wait for, and what that waits for, as far as it is wanted; the nearest first."""
    frontier = list(records)
    seen = {record.id for record in frontier}
    found: dict[str, JobRecord] = {}
    while frontier:
        ids = {one for record in frontier for one in _waits_for(record)} - seen
        seen |= ids
        frontier = [one for one in installation.store.get_many(sorted(ids)) if wanted(one)]
        found.update((record.id, record) for record in frontier)
    return found


def _cancelled_dependents(record: JobRecord, installation: Installation) -> dict[str, JobRecord]:
    """The jobs that were cancelled with one, and with those again."""
    frontier = [record]
    found: dict[str, JobRecord] = {}
    while frontier:
        antecedent = frontier.pop()
        ids = [edge.dependent for edge in edges_of(antecedent.id, installation)]
        for one in installation.store.get_many([one for one in ids if one not in found]):
            if cancelled_with(one, antecedent.id):
                found[one.id] = one
                frontier.append(one)
    return found


def _in_order(records: Mapping[str, JobRecord]) -> Iterable[str]:
    """Their ids, each after those that it waits for."""
    return TopologicalSorter(
        {
            record.id: [one for one in _waits_for(record) if one in records]
            for record in records.values()
        }
    ).static_order()


def _restart_dependents(
    record: JobRecord, installation: Installation, *, antecedents: bool
) -> None:
    found = _cancelled_dependents(record, installation)
    if antecedents:
        others = _antecedents([record, *found.values()], _to_restart, installation)
        found = {**others, **found}
    problem: RemoteJobError | None = None
    for one in _in_order(found):
        try:
            _restart_another(one, installation)
        except AccessProblem:
            raise
        except RemoteJobError as refusal:
            problem = problem or refusal
    if problem is not None:
        raise problem


def _restart_another(job_id: str, installation: Installation) -> None:
    """Restart a job that was found to need it, unless somebody has, or took it away."""
    with suppress(CommandRefused, JobNotFound):
        _restarted(job_id, None, installation)


def _restarted(job_id: str, retry: Retry | None, installation: Installation) -> JobRecord:
    restarted = _stored_again(job_id, retry, installation)
    return restarted if restarted.blocked else send_and_look(restarted, installation)


def _stored_again(job_id: str, retry: Retry | None, installation: Installation) -> JobRecord:
    for _ in range(_TRIES):
        record = _found(job_id, installation)
        check(Command.RESTART, job_id=job_id, state=record.state)
        record = _owing_nothing(record, installation)
        now = installation.clock.now_ms()
        waits_for = _waits_for(record)
        if not waits_for and record.batch is None:
            change = command_changes.restart(
                record, now_ms=now, retry=retry, blocked=_batches_of(record)
            )
            outcome = installation.store.update(change)
            if isinstance(outcome, Updated):
                return outcome.record
            if outcome.record is not None and _as_built(outcome.record, change):
                # our own write, whose answer was lost
                return outcome.record
            continue
        stored = store_dependent(
            record,
            waits_for,
            installation,
            storing=partial(_restarting, record, now, retry),
            # a child of a batch is counted no more
            others=uncount(record, installation),
        )
        if stored is not None:
            return installation.store.get(job_id) or stored
    raise StoreUnavailable(f"job {job_id} changed each time it was read; restart it again")


def _restarting(record: JobRecord, now_ms: int, retry: Retry | None, blocked: JobRecord) -> Change:
    again = _batches_of(record).union(blocked.blocked or ())
    change = command_changes.restart(record, now_ms=now_ms, retry=retry, blocked=again)
    return change if record.batch is None else restart_counted(change, record)


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
    if record.locked and _winds_down(record, installation):
        # its lock cannot be let go of yet; it would be told of at each try
        raise StillRunning(record.id)
    _carried_out(record, installation)
    record = _found(record.id, installation)
    if record.owed is not None:
        raise StillRunning(record.id)
    return record


def _winds_down(record: JobRecord, installation: Installation) -> bool:
    """Whether a run of a job that was cancelled may still be at work."""
    now = installation.clock.now_ms()
    return record.run_id is not None and record.live(
        record.run_id, now, skew_ms=span_ms(CLOCK_SKEW)
    )


def _promised(record: JobRecord, installation: Installation) -> bool:
    """Whether what a completed job's end means to others is promised by its message alone.

    Removed, the job would leave the message nothing to tell of. The job that repeats it is
    looked after by the scheduler.
    """
    if record.state is not State.COMPLETED or record.batch is not None:
        # what any other end owes is noted in the record
        return False
    finished = record.finished_ms or 0
    if finished + span_ms(_ON_ITS_WAY) > installation.clock.now_ms():
        return True
    if record.dependents and not all(edge.spent for edge in edges_of(record.id, installation)):
        return True
    held = (one for limit in limits_of(record) for one in holders(limit, installation))
    return any(one.job_id == record.id for one in held)


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
