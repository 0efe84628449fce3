"""Restarts a job, and on request the jobs it depends on or that depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from graphlib import TopologicalSorter

from remotejob.domain import command_changes
from remotejob.domain.argument_checks import check_flag
from remotejob.domain.batch_changes import restart_counted
from remotejob.domain.batches import is_batch_id
from remotejob.domain.changes import Change
from remotejob.domain.dependencies import cancelled_with
from remotejob.domain.errors import AccessProblem, CommandRefused, JobNotFound, RemoteJobError
from remotejob.domain.history import Action, entered
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry, check_retry
from remotejob.domain.states import Command, State, check
from remotejob.jobs.commands.changing import (
    TRIES,
    changed_each_time,
    new_token,
    read_job,
    settle_end,
)
from remotejob.jobs.coordination.batch_counts import uncount
from remotejob.jobs.coordination.dependencies import edges_of, store_dependent
from remotejob.jobs.coordination.linking import try_to_link
from remotejob.jobs.coordination.series import in_generation
from remotejob.jobs.messaging.send import send_and_look
from remotejob.names import Field
from remotejob.ports import Installation, Updated


def restart(
    job_id: str,
    installation: Installation,
    *,
    retry: Retry | None = None,
    antecedents: bool = True,
    dependents: bool = False,
) -> JobRecord:
    """Run a failed or cancelled job again; its count of failures starts at 0.

    `antecedents`: first restart the failed or cancelled jobs it still waits for, and those they
    wait for before them. `dependents`: afterwards restart the jobs cancelled with it, and with
    `antecedents` the jobs those wait for.

    Raises: JobNotFound; CommandRefused; DependencyEnded, when a job it waits for is not restarted;
    StillRunning; the error that kept a dependent from restarting, after trying the others.
    """
    if retry is not None:
        check_retry(retry)
    check_flag("antecedents", antecedents)
    check_flag("dependents", dependents)
    record = read_job(job_id, installation)
    check(Command.RESTART, job_id=job_id, state=record.state)
    if antecedents:
        for one in _in_order(antecedents_of([record], _needs_restart, installation)):
            _restart_related(one, installation)
    restarted = _restart_and_send(job_id, retry, installation)
    if dependents:
        _restart_dependents(record, installation, antecedents=antecedents)
    return restarted


def antecedents_of(
    records: Iterable[JobRecord], wanted: Callable[[JobRecord], bool], installation: Installation
) -> dict[str, JobRecord]:
    """The jobs that these wait for, and so on along wanted ones; the nearest first."""
    frontier = list(records)
    seen = {record.id for record in frontier}
    found: dict[str, JobRecord] = {}
    while frontier:
        ids = {one for record in frontier for one in _jobs_waited_for(record)} - seen
        seen |= ids
        frontier = [one for one in installation.store.get_many(sorted(ids)) if wanted(one)]
        found.update((record.id, record) for record in frontier)
    return found


def _cancelled_dependents(record: JobRecord, installation: Installation) -> dict[str, JobRecord]:
    """The jobs cancelled because of this one, directly or through others."""
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
    """Their ids, each after those it waits for."""
    return TopologicalSorter(
        {
            record.id: [one for one in _jobs_waited_for(record) if one in records]
            for record in records.values()
        }
    ).static_order()


def _needs_restart(record: JobRecord) -> bool:
    return record.state in (State.FAILED, State.CANCELLED)


def _jobs_waited_for(record: JobRecord) -> list[str]:
    """The jobs that block a record. A job that completes stops blocking it, and may be removed."""
    return sorted(one for one in record.blocked or () if not is_batch_id(one))


def _batches_waited_for(record: JobRecord) -> frozenset[str]:
    return frozenset(filter(is_batch_id, record.blocked or ()))


def _restart_dependents(
    record: JobRecord, installation: Installation, *, antecedents: bool
) -> None:
    found = _cancelled_dependents(record, installation)
    if antecedents:
        others = antecedents_of([record, *found.values()], _needs_restart, installation)
        found = {**others, **found}
    problem: RemoteJobError | None = None
    for one in _in_order(found):
        try:
            _restart_related(one, installation)
        except AccessProblem:
            raise
        except RemoteJobError as refusal:
            problem = problem or refusal
    if problem is not None:
        raise problem


def _restart_related(job_id: str, installation: Installation) -> None:
    """Restart a related job, unless somebody else has restarted or removed it."""
    with suppress(CommandRefused, JobNotFound):
        _restart_and_send(job_id, None, installation)


def _restart_and_send(job_id: str, retry: Retry | None, installation: Installation) -> JobRecord:
    restarted = _store_restarted(job_id, retry, installation)
    return restarted if restarted.blocked else send_and_look(restarted, installation)


def _store_restarted(job_id: str, retry: Retry | None, installation: Installation) -> JobRecord:
    token = new_token(installation)
    for _ in range(TRIES):
        record = read_job(job_id, installation)
        if record.token == token:
            # an earlier request, whose answer was lost, restarted the job
            try_to_link(record, installation)
            return record
        check(Command.RESTART, job_id=job_id, state=record.state)
        record = settle_end(record, installation)
        now = installation.clock.now_ms()
        waits_for = _jobs_waited_for(record)
        # restarted on purpose, it belongs to the repeats of today
        renewed, others = in_generation(record, installation)
        if not waits_for and record.batch is None and not others:
            change = command_changes.restart(
                record, now_ms=now, retry=retry, blocked=_batches_waited_for(record), token=token
            )
            change = entered(change, record, Action.RESTARTED, actor=installation.actor)
            outcome = installation.store.update(change)
            if isinstance(outcome, Updated):
                return outcome.record
            continue
        stored = store_dependent(
            record,
            waits_for,
            installation,
            storing=partial(
                _restart_change,
                record,
                now,
                retry,
                token,
                renewed.generation,
                installation.actor,
            ),
            # the batch must stop counting its child as ended
            others=[*uncount(record, installation), *others],
        )
        if stored is not None:
            return installation.store.get(job_id) or stored
    raise changed_each_time(Command.RESTART, job_id)


def _restart_change(
    record: JobRecord,
    now_ms: int,
    retry: Retry | None,
    token: str,
    generation: int,
    actor: str,
    blocked: JobRecord,
) -> Change:
    again = _batches_waited_for(record).union(blocked.blocked or ())
    change = command_changes.restart(
        record, now_ms=now_ms, retry=retry, blocked=again, linking=blocked.linking, token=token
    )
    change = entered(change, record, Action.RESTARTED, actor=actor)
    if generation:
        change = replace(change, set={**change.set, Field.GENERATION: generation})
    return change if record.batch is None else restart_counted(change, record)
