"""Cancels the jobs that `cancel_repeats` has outdated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Final

from remotejob.domain.errors import AccessProblem
from remotejob.domain.ids import first_id_at, partition
from remotejob.domain.marks import Attention
from remotejob.domain.record import JobRecord
from remotejob.domain.series import Head
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.series import read_head, stop
from remotejob.names import SHARDS
from remotejob.ports import Installation

_READ_AT_A_TIME: Final = 100
_CLOCKS_AHEAD: Final = timedelta(minutes=5)
_FAR_AHEAD: Final = timedelta(days=2 * 366)
"""Marks lie less far ahead: no job is due later than that."""

_UNFINISHED: Final = (Attention.WAITING, Attention.PAUSED, Attention.RUNNING)


def cancel_outdated(
    queue: str,
    task: str,
    installation: Installation,
    *,
    time_is_up: Callable[[], bool] | None = None,
) -> list[JobRecord] | None:
    """Cancel the jobs of earlier generations; return them, or None if the time did not suffice.

    A listing may lag behind by a second: the scheduler does this once more after `cancel_repeats`,
    and whoever claims or makes a job looks at the head.

    Raises: AccessProblem, when these credentials may not cancel.
    """
    head = read_head(queue, task, installation)
    ended: list[JobRecord] = []
    for record in _jobs(head, installation) if head.generation else ():
        if time_is_up is not None and time_is_up():
            return None
        if head.outdates(record):
            ended += _stop_with_successors(record, head, installation)
    return ended


def _stop_with_successors(
    record: JobRecord, head: Head, installation: Installation
) -> Iterator[JobRecord]:
    """Cancel a job, or if it has ended meanwhile, the one that repeats it, and so on."""
    current: JobRecord | None = record
    while current is not None:
        stopped = stop(current, installation) if head.outdates(current) else None
        if stopped is not None:
            denied: list[AccessProblem] = []
            # the record owes what is not carried out here, and the scheduler carries it out
            carry_out([stopped], installation, denied=denied)
            if denied:
                raise denied[0]
            yield stopped
            return
        now = installation.store.get(current.id)
        following = None if now is None else now.next_id
        current = None if following is None else installation.store.get(following)


def _jobs(head: Head, installation: Installation) -> Iterator[JobRecord]:
    """All jobs of the system that may be outdated."""
    now_ms = installation.clock.now_ms()
    began = from_ms(now_ms) - installation.retention
    # older ones: they wait, are paused or run, and each of these has a mark
    yield from _marked_before(first_id_at(span_ms(began - from_ms(0))), now_ms, installation)
    day, last = began.date(), (from_ms(now_ms) + _CLOCKS_AHEAD).date()
    with ThreadPoolExecutor(SHARDS, thread_name_prefix="repeats") as pool:
        while day <= last:
            partitions = [partition(day, shard) for shard in range(SHARDS)]
            for found in pool.map(lambda name: _outdated_in(name, head, installation), partitions):
                yield from found
            day += timedelta(days=1)


def _outdated_in(name: str, head: Head, installation: Installation) -> list[JobRecord]:
    return [record for record in installation.store.listing(name) if head.outdates(record)]


def _marked_before(first_id: str, now_ms: int, installation: Installation) -> Iterator[JobRecord]:
    until_ms = now_ms + span_ms(_FAR_AHEAD)
    for kind in _UNFINISHED:
        for shard in range(SHARDS):
            marks = installation.store.attention(kind, shard, until_ms=until_ms)
            ids = (mark.job_id for mark in marks if mark.job_id < first_id)
            while some := list(islice(ids, _READ_AT_A_TIME)):
                yield from installation.store.get_many(some)
