"""Looks through the job table for items that cannot be read, or that say what cannot be.

It uses the readers that everything else uses, so it finds what they leave out. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Final

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import is_job_id, partition, partition_of
from remotejob.domain.locks import WAITERS, Limit, limits_of
from remotejob.domain.marks import HEADS_SHARD, Attention
from remotejob.domain.record import JobRecord
from remotejob.domain.series import named_head
from remotejob.domain.times import from_ms, span_ms
from remotejob.domain.transactions import no_job_id
from remotejob.jobs.content.log import whole_log
from remotejob.jobs.content.removal import tombstone_of
from remotejob.jobs.coordination.batch_counts import read_batch
from remotejob.jobs.coordination.dependencies import edges_of
from remotejob.jobs.coordination.locks import holders
from remotejob.jobs.coordination.queue_switch import stop_of
from remotejob.jobs.coordination.series import read_head
from remotejob.jobs.coordination.sweep_progress import load_walk
from remotejob.jobs.queries.workers import workers
from remotejob.names import SHARDS
from remotejob.ports import Installation

MOST_READ: Final = 20_000
"""Records to read at most, the newest first."""

_MOST_MARKS: Final = 1000
"""Marks to read at most, of each kind and shard."""

_MOST_NEAR: Final = 500
"""Locks, batches, and jobs with notes or edges to look at, at most."""

_CLOCKS_AHEAD: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One item that is not as it should be."""

    partition: str
    name: str
    """With the partition, the key of the item."""
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What is wrong with the table, as far as it was read."""

    findings: tuple[Finding, ...]
    records: int
    """How many records were read."""
    complete: bool
    """Whether no bound kept anything from being read."""


class _Near:
    """Items to look at because records named them."""

    def __init__(self) -> None:
        self.limits: dict[str, Limit] = {}
        self.batches: dict[str, None] = {}
        self.with_edges: dict[str, None] = {}
        self.with_notes: dict[str, JobRecord] = {}

    def add(self, record: JobRecord) -> None:
        for limit in limits_of(record):
            self.limits[limit.partition] = limit
        if record.batch is not None:
            self.batches[record.batch] = None
        if record.dependents:
            self.with_edges[record.id] = None
        if record.log_count:
            self.with_notes[record.id] = record

    @property
    def complete(self) -> bool:
        return all(
            len(one) <= _MOST_NEAR
            for one in (self.limits, self.batches, self.with_edges, self.with_notes)
        )


def examine(installation: Installation, *, most: int = MOST_READ) -> Diagnosis:
    """Read the records of the retained days and what lies next to them, up to a bound."""
    near = _Near()
    findings: list[Finding] = []
    records = 0
    now_ms = installation.clock.now_ms()
    with installation.skipped.collected() as found:
        for record in islice(_records(installation), most):
            records += 1
            near.add(record)
            findings += _beyond_sense(record, now_ms)
        _read_marks(installation)
        _read_near(near, installation)
        for queue in installation.queues:
            workers(installation, queue)
            stop_of(queue, installation)
        load_walk(installation, from_ms(now_ms).date())
        unreadable = [
            Finding(partition=partition, name=name, problem=problem.problem)
            for (partition, name), problem in found.items()
        ]
    return Diagnosis(
        findings=(*unreadable, *findings),
        records=records,
        complete=records < most and near.complete,
    )


def _records(installation: Installation) -> Iterator[JobRecord]:
    today = from_ms(installation.clock.now_ms()).date()
    # clocks differ, and a job is kept for some time after its end
    day, first = today + timedelta(days=1), today - installation.retention - timedelta(days=1)
    while day >= first:
        for shard in range(SHARDS):
            yield from installation.store.listing(partition(day, shard))
        day -= timedelta(days=1)


def _beyond_sense(record: JobRecord, now_ms: int) -> Iterator[Finding]:
    """What a record says that can be read and cannot be."""
    latest = now_ms + span_ms(_CLOCKS_AHEAD)
    for what, at_ms in (
        ("it was created", record.created_ms),
        ("it was changed", record.updated_ms),
        ("it was swept", record.swept_ms or 0),
    ):
        if at_ms > latest:
            yield _finding(record, f"{what} in the future, at {from_ms(at_ms).isoformat()}")
    if record.lease_beyond_sense(now_ms):
        yield _finding(record, "its lease ends later than any run's can")


def _finding(record: JobRecord, problem: str) -> Finding:
    return Finding(partition=partition_of(record.id), name=record.id, problem=problem)


def _read_marks(installation: Installation) -> None:
    until_ms = span_ms(timedelta(days=365 * 7000))
    kinds = (*Attention.ACTED_ON, Attention.FAILED, Attention.PAUSED, Attention.KEPT)
    for shard in range(SHARDS):
        for kind in kinds:
            marks = installation.store.attention(kind, shard, until_ms=until_ms)
            installation.store.get_many([mark.job_id for mark in islice(marks, _MOST_MARKS)])
        marks = installation.store.attention(Attention.REMOVED, shard, until_ms=until_ms)
        for mark in islice(marks, _MOST_MARKS):
            _try_to_read(partial(tombstone_of, mark.job_id, installation), installation)
    marks = installation.store.attention(Attention.REPLACED, HEADS_SHARD, until_ms=until_ms)
    for mark in islice(marks, _MOST_MARKS):
        _try_to_read(partial(_read_head, mark.job_id, installation), installation)


def _read_near(near: _Near, installation: Installation) -> None:
    for limit in islice(near.limits.values(), _MOST_NEAR):
        holders(limit, installation)
        waiters = installation.store.items(limit.partition, WAITERS)
        for name, _item in islice(waiters, _MOST_MARKS):
            if not is_job_id(name.removeprefix(WAITERS)):
                installation.skipped.add(no_job_id(name, partition=limit.partition))
    for batch_id in islice(near.batches, _MOST_NEAR):
        _try_to_read(partial(read_batch, batch_id, installation), installation)
    for job_id in islice(near.with_edges, _MOST_NEAR):
        edges_of(job_id, installation)
    for record in islice(near.with_notes.values(), _MOST_NEAR):
        whole_log(record, installation)


def _try_to_read(read: Callable[[], object], installation: Installation) -> None:
    try:
        read()
    except UnreadableItem as problem:
        installation.skipped.add(problem)


def _read_head(name: str, installation: Installation) -> None:
    queue, task = named_head(name)
    head = read_head(queue, task, installation)
    if head.odd:
        raise UnreadableItem(head.key.partition, head.key.name, "it has no generation")
