"""Lists jobs, newest first, and the failed jobs of a queue."""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from remotejob.domain.argument_checks import check_choice, check_whole
from remotejob.domain.errors import InvalidData
from remotejob.domain.ids import first_id_at, partition
from remotejob.domain.marks import Attention
from remotejob.domain.name_rules import check_task_name
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import shown
from remotejob.domain.times import check_moment, from_ms, span_ms
from remotejob.names import SHARDS
from remotejob.ports import Installation

_READ_AT_A_TIME: Final = 100

_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Before any system was deployed. Each day of a listing costs eight requests, even an empty one."""


def listed(
    installation: Installation,
    *,
    queue: str | None,
    state: State | str | None,
    task: str | None = None,
    limit: int,
    since: datetime | None,
) -> list[JobRecord]:
    """The newest jobs that match, as for `Queue.jobs`."""
    wanted = None if state is None else state_named(state)
    of_task = None if task is None else check_task_name(task)
    limit = check_whole("limit", limit, least=0, most=sys.maxsize)
    now = from_ms(installation.clock.now_ms())
    if since is None:
        since = now - installation.retention
    elif check_moment("since", since) < _EARLIEST:
        raise InvalidData(f"since={shown(since)}: no job is that old; use {_EARLIEST:%Y} or later")
    since = since.astimezone(UTC)
    found = (
        record
        for record in _newest_first(installation, since=since, now=now)
        if (queue is None or record.queue == queue)
        and (wanted is None or record.state is wanted)
        and (of_task is None or record.task == of_task)
    )
    return list(itertools.islice(found, limit))


def failed_jobs(
    queue: str, installation: Installation, *, task: str | None = None
) -> Iterator[JobRecord]:
    """The failed jobs of a queue, or of one task of it, shard by shard, the earliest failure first
    in each.

    Source: redis-dist-job-queue, its failed jobs queue.
    """
    for shard in range(SHARDS):
        ids: list[str] = []
        for kind in (Attention.FAILED, Attention.OWED):
            until_ms = installation.clock.now_ms() + span_ms(installation.retention)
            marks = installation.store.attention(kind, shard, until_ms=until_ms)
            ids += [mark.job_id for mark in marks]
        for start in range(0, len(ids), _READ_AT_A_TIME):
            for record in installation.store.get_many(ids[start : start + _READ_AT_A_TIME]):
                if record.state is not State.FAILED or record.queue != queue:
                    continue
                if task is None or record.task == task:
                    yield record


def _newest_first(
    installation: Installation, *, since: datetime, now: datetime
) -> Iterator[JobRecord]:
    """Walk day by day and merge the shards of each: they sort by id, and an id starts with time."""
    # a creator's clock may run a little ahead of ours
    day = (now + timedelta(minutes=5)).date()
    oldest = first_id_at(max(0, span_ms(since - from_ms(0))))
    with ThreadPoolExecutor(SHARDS) as pool:
        while day >= since.date():
            # fetch the first pages of all shards in parallel: most days are empty or have one page
            shards = [installation.store.listing(partition(day, shard)) for shard in range(SHARDS)]
            heads = pool.map(lambda records: list(itertools.islice(records, 1)), shards)
            streams = [
                itertools.chain(head, rest) for head, rest in zip(heads, shards, strict=True)
            ]
            for record in heapq.merge(*streams, key=lambda record: record.id, reverse=True):
                if record.id < oldest:
                    return
                yield record
            day -= timedelta(days=1)


def state_named(state: State | str) -> State:
    """Raises: InvalidName, naming the states."""
    return check_choice("state ", state, State)
