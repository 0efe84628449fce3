"""Commands on a whole batch: cancel or retry all of its children."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from remotejob.domain import batch_changes, batches, command_changes
from remotejob.domain.batches import PAGES, BatchRecord
from remotejob.domain.errors import (
    BatchNotFound,
    BatchUnfinished,
    CommandRefused,
    JobNotFound,
    RemoteJobError,
    StoreUnavailable,
    UnreadableItem,
)
from remotejob.domain.history import Action, entered
from remotejob.domain.ids import is_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry, check_retry
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import no_job_id, text
from remotejob.domain.unreadable import reading_item
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.coordination.batch_counts import read_batch
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.names import Field
from remotejob.ports import Installation, Updated

_AT_A_TIME: Final = 8
_CHUNK: Final = 50
_READ_AT_A_TIME: Final = 100

T = TypeVar("T")


def find_batch(batch_id: str, installation: Installation) -> BatchRecord:
    """Raises: BatchNotFound."""
    batch = read_batch(batch_id, installation)
    if batch is None:
        raise BatchNotFound(batch_id)
    return batch


def children(
    batch_id: str, installation: Installation, *, states: frozenset[State] | None = None
) -> Iterator[JobRecord]:
    """The records of the children in the order they were made, without removed ones."""
    ids = _child_ids(batch_id, installation)
    while some := list(islice(ids, _READ_AT_A_TIME)):
        records = {record.id: record for record in installation.store.get_many(some)}
        for job_id in some:
            record = records.get(job_id)
            if record is not None and (states is None or record.state in states):
                yield record


def _child_ids(batch_id: str, installation: Installation) -> Iterator[str]:
    partition = batches.partition_of_batch(batch_id)
    for name, page in installation.store.items(partition, PAGES):
        try:
            with reading_item(partition, name):
                ids = text(page[Field.CONTENT]).split()
            for job_id in ids:
                if not is_job_id(job_id):
                    raise no_job_id(name, partition=partition)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
            continue
        yield from ids


def cancel_batch(batch_id: str, installation: Installation) -> None:
    """Cancel all children that have not ended.

    A batch that is still being made, or was left unfinished, gets no more children. It will never
    complete, so the job that follows it is cancelled too.

    Raises: BatchNotFound; the first error of a child that was not cancelled, after trying them all.
    """
    batch = find_batch(batch_id, installation)
    if not batch.sealed:
        # if refused, it was stopped before or sealed meanwhile
        installation.store.transact([batch_changes.stopped(batch_id)])
        batch = find_batch(batch_id, installation)
    if batch.stopped:
        _keep_from_coming(_child_ids(batch_id, installation), installation)
    cancel_children(_child_ids(batch_id, installation), installation)
    if batch.stopped and batch.follower_ids:
        with suppress(CommandRefused, JobNotFound):
            commands.cancel(batch.follower_ids[-1], installation)


def _keep_from_coming(job_ids: Iterable[str], installation: Installation) -> None:
    """Put tombstones for children that are noted but not stored.

    Their records may be on their way, and whoever makes the batch may die before it finds that the
    batch was cancelled.
    """

    def bury(some: Sequence[str]) -> None:
        there = {record.id for record in installation.store.get_many(some)}
        for job_id in some:
            if job_id not in there:
                tombstone = command_changes.never_stored(
                    job_id,
                    now_ms=installation.clock.now_ms(),
                    kept_ms=2 * span_ms(installation.retention),
                )
                # refused if it was stored meanwhile, or removed
                installation.store.transact([tombstone])

    _raise_first(_each(_chunks(job_ids), bury))


def cancel_children(job_ids: Iterable[str], installation: Installation) -> None:
    """Cancel the jobs that have not ended, many at a time."""

    def cancel(some: Sequence[str]) -> None:
        ended: list[JobRecord] = []
        for record in installation.store.get_many(some):
            if record.terminal:
                continue
            change = command_changes.cancel(record, now_ms=installation.clock.now_ms())
            change = entered(change, record, Action.CANCELLED, actor=installation.actor)
            outcome = installation.store.update(change)
            if isinstance(outcome, Updated):
                ended.append(outcome.record)
            elif outcome.record is not None and not outcome.record.terminal:
                with suppress(CommandRefused, JobNotFound):
                    commands.cancel(record.id, installation)
        # the records owe what is not carried out here, and the scheduler carries it out
        carry_out(ended, installation)

    _raise_first(_each(_chunks(job_ids), cancel))


def retry_batch(batch_id: str, installation: Installation, *, retry: Retry | None = None) -> int:
    """Restart the children that failed or were cancelled; return how many.

    Raises: BatchNotFound; BatchUnfinished, when not all its children were made; StoreUnavailable,
    saying how many were not restarted; StillRunning or the first other error of a child that was
    not restarted, after trying them all.
    Source: Amazon DynamoDB, TransactWriteItems, on transactions that conflict.
    """
    if retry is not None:
        check_retry(retry)
    batch = find_batch(batch_id, installation)
    if not batch.sealed:
        raise BatchUnfinished(batch_id, made=batch.total, why="it cannot be retried like this")

    def restart_child(job_id: str) -> None:
        try:
            restart(job_id, installation, retry=retry)
        except (CommandRefused, JobNotFound):
            # somebody else restarted or removed it
            return
        except StoreUnavailable as problem:
            conflicted[job_id] = problem
            return
        restarted.append(job_id)

    restarted: list[str] = []
    conflicted: dict[str, StoreUnavailable] = {}
    states = frozenset({State.FAILED, State.CANCELLED})
    ended = (record.id for record in children(batch_id, installation, states=states))
    # the first child alone: if the batch needs a new follower, this makes it, and concurrent
    # restarts do not compete to
    problems = _each(islice(ended, 1), restart_child) + _each(ended, restart_child)
    # concurrent restarts conflict on the batch's follower and counters: repeat the ones that lost,
    # one at a time
    again, conflicted = conflicted, {}
    for job_id in again:
        problems += _each([job_id], restart_child)
    if conflicted:
        last = list(conflicted.values())[-1]
        raise StoreUnavailable(
            f"{len(conflicted) + len(problems)} jobs of batch {batch_id} were not restarted, and "
            f"{len(restarted)} were: {last}; retry the batch again"
        ) from last
    _raise_first(problems)
    return len(restarted)


def _each(arguments: Iterable[T], act: Callable[[T], None]) -> list[RemoteJobError]:
    """Run `act` on each, a few at a time; return the errors."""

    def problem_with(argument: T) -> RemoteJobError | None:
        try:
            act(argument)
        except RemoteJobError as problem:
            return problem
        return None

    problems: list[RemoteJobError] = []
    left = iter(arguments)
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="batch") as pool:
        while some := list(islice(left, _READ_AT_A_TIME)):
            problems += [one for one in pool.map(problem_with, some) if one is not None]
    return problems


def _raise_first(problems: Sequence[RemoteJobError]) -> None:
    for problem in problems:
        raise problem


def _chunks(job_ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(job_ids)
    while some := list(islice(left, _CHUNK)):
        yield some
