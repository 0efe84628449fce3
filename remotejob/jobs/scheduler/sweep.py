"""The sweep: every few hours, whatever slipped through everything else.

It walks the days from a watermark, below which every job has ended and nothing is left to do. A
job that is ready, or runs under a lapsed lease, or owes consequences, and has not changed for an
hour, has lost its message: another is sent, once a day at most. Outputs of runs that did not
commit are removed, and checkpoints that nobody will go on from.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Final

from remotejob.domain import changes
from remotejob.domain.checkpoints import checkpoint_key, is_checkpoint, struck_out
from remotejob.domain.claim_decisions import budget_spent
from remotejob.domain.ids import first_id_at, partition
from remotejob.domain.marks import Attention
from remotejob.domain.priority import Lane
from remotejob.domain.record import JobRecord, dumps, output_prefix
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.scheduler.tick import Deadline, expire_spent, lease_lapsed, never
from remotejob.names import SHARDS, Field
from remotejob.ports import Address, Area, Channel, Installation, Updated

log = logging.getLogger(__name__)

STILL: Final = timedelta(hours=1)
"""How long a record must not have changed."""

AGAIN: Final = timedelta(days=1)
"""How long before the same job is swept again."""

_LAST_DAY: Final = timedelta(days=1)
"""Of a record that expires."""

_READ_AT_A_TIME: Final = 100
"""Source: Amazon DynamoDB, BatchGetItem."""

_NOTES: Final = "#sweep"
_PROGRESS: Final = "progress"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Walk:
    """How far the sweep is."""

    watermark: str
    """The first day on which something may be left to do."""
    day: str
    """The day being walked."""
    shard: int = 0
    after: str = ""
    closed: bool = True
    """Whether everything seen on this day is over and done with."""
    unbroken: bool = True
    """Whether every day since the watermark was."""


def sweep(installation: Installation, *, time_is_up: Deadline = never) -> Counter[str]:
    """Walk the days, from where the last sweep ran out of time, or else from the watermark."""
    counts: Counter[str] = Counter()
    _keep_measured(installation)
    _forget_checkpoints(installation, counts)
    today = from_ms(installation.clock.now_ms()).date()
    walk = _resumed(installation, today)
    while date.fromisoformat(walk.day) <= today:
        while walk.shard < SHARDS:
            for record in _shard(installation, walk):
                if time_is_up():
                    _keep(installation, walk)
                    log.warning("time is up; the next sweep goes on", extra=asdict(walk))
                    return counts
                try:
                    done = _see_to(record, installation, counts)
                except Exception:
                    # one job never holds back the others
                    log.exception("job not swept", extra=log_fields(record))
                    done = False
                walk = replace(walk, after=record.id, closed=walk.closed and done)
            walk = replace(walk, shard=walk.shard + 1, after="")
        walk = _next_day(walk, today)
    _keep(installation, _Walk(watermark=walk.watermark, day=walk.watermark))
    return counts


def _keep_measured(installation: Installation) -> None:
    """Look at every lane, so that its depth goes on being measured.

    SQS stops reporting a queue that nobody touched for six hours, and takes up to a quarter of an
    hour to begin again: the alarm that wakes the workers would see nothing for so long.
    Source: Amazon SQS, "Creating CloudWatch alarms for Amazon SQS metrics".
    """
    for queue in installation.queues:
        for lane in Lane:
            address = Address(queue, Channel(lane.value))
            try:
                installation.messages.depth(address)
            except Exception:
                log.exception("lane not looked at", extra={"lane": str(address)})


def _shard(installation: Installation, walk: _Walk) -> Iterator[JobRecord]:
    day = date.fromisoformat(walk.day)
    return installation.store.listing(partition(day, walk.shard), after=walk.after or _FIRST_ID)


def _next_day(walk: _Walk, today: date) -> _Walk:
    following = (date.fromisoformat(walk.day) + timedelta(days=1)).isoformat()
    # jobs are still made on a day after it: clocks differ, and an upload's job is of the day of
    # its event, which may have waited in its queue
    settled = date.fromisoformat(walk.day) < today - _LATE
    unbroken = walk.unbroken and walk.closed and settled
    return _Walk(
        watermark=following if unbroken else walk.watermark, day=following, unbroken=unbroken
    )


def _see_to(record: JobRecord, installation: Installation, counts: Counter[str]) -> bool:
    """Do what the record needs; return whether it needs nothing more, ever."""
    now = installation.clock.now_ms()
    still = record.updated_ms <= now - span_ms(STILL)
    if record.terminal and record.owed is None:
        return _tidied(record, installation, counts, still=still)
    swept_lately = record.swept_ms is not None and record.swept_ms > now - span_ms(AGAIN)
    lapsed = lease_lapsed(record, now)
    stuck = record.state is State.READY or lapsed or record.owed is not None
    if not still or swept_lately or not stuck:
        return False
    log.warning("swept: %s and silent", record.state, extra=log_fields(record))
    if record.owed is not None:
        counts["paid"] += len(carry_out([record], installation))
        # unmarked: on a job that has ended, the mark says that its outputs are tidied
        return False
    if lapsed and budget_spent(record):
        counts["expired"] += expire_spent([record], installation)
    else:
        send_for([record], installation)
        counts["sent"] += 1
    installation.store.update(changes.swept(record, now_ms=now))
    return False


def _tidied(
    record: JobRecord, installation: Installation, counts: Counter[str], *, still: bool
) -> bool:
    """Remove outputs of runs that did not commit, once the last of them must be over.

    And their checkpoints, but for the one that a restart would go on from.
    """
    completed = record.state is State.COMPLETED
    only_run = record.attempt <= 1 and not (record.failures or record.crashes or record.releases)
    tidied = record.swept_ms is not None and record.swept_ms > record.updated_ms
    if tidied or (completed and only_run and record.checkpoint_ref is None):
        return True
    if not still:
        return False
    orphans = _orphans(record, installation)
    if orphans and installation.store.get(record.id) != record:
        # restarted since it was read: what was found may be what its next run has made
        return False
    installation.files.delete(Area.OUTPUT, orphans)
    counts["outputs removed"] += len(orphans)
    gone = (Field.CHECKPOINT_REF,) if completed and record.checkpoint_ref is not None else ()
    now = installation.clock.now_ms()
    installation.store.update(changes.swept(record, now_ms=now, remove=gone))
    return True


def _orphans(record: JobRecord, installation: Installation) -> list[str]:
    """Files of a job that has ended, and that nobody will ask for."""
    kept, committed = checkpoint_key(record), None
    if record.state is State.COMPLETED and record.run_id is not None:
        kept = None
        committed = output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
    return [
        key
        for key in installation.files.keys(Area.OUTPUT, f"{record.queue}/{record.id}/")
        if key != kept
        and not (
            committed and key.startswith(committed) and not is_checkpoint(key, prefix=committed)
        )
    ]


def _forget_checkpoints(installation: Installation, counts: Counter[str]) -> None:
    """Remove the checkpoints of jobs that failed or were cancelled before their records expire.

    After that nobody would know of the files.
    """
    retention = installation.retention
    ended_ms = installation.clock.now_ms() - span_ms(retention - min(_LAST_DAY, retention / 2))
    for kind in (Attention.FAILED, Attention.KEPT):
        for shard in range(SHARDS):
            try:
                marks = installation.store.attention(kind, shard, until_ms=ended_ms)
                while ids := [mark.job_id for mark in islice(marks, _READ_AT_A_TIME)]:
                    for record in installation.store.get_many(ids):
                        if record.checkpoint_ref is not None and record.terminal:
                            _forget_checkpoint(record, installation, counts)
            except Exception:
                log.exception("checkpoints not removed", extra={"kind": kind, "shard": shard})


def _forget_checkpoint(record: JobRecord, installation: Installation, counts: Counter[str]) -> None:
    now = installation.clock.now_ms()
    # in three steps: a restart in between finds that there is nothing to go on from, and a crash
    # in between leaves what the next sweep finds
    outcome = installation.store.update(
        changes.swept(record, now_ms=now, report={Field.CHECKPOINT_REF: struck_out(record)})
    )
    if not isinstance(outcome, Updated):
        return
    orphans = _orphans(outcome.record, installation)
    installation.files.delete(Area.OUTPUT, orphans)
    counts["outputs removed"] += len(orphans)
    gone = changes.swept(outcome.record, now_ms=now, remove=(Field.CHECKPOINT_REF,))
    installation.store.update(gone)


def _resumed(installation: Installation, today: date) -> _Walk:
    for _name, text in installation.store.notes(_NOTES, _PROGRESS):
        return _Walk(**json.loads(text))
    first = (today - installation.retention).isoformat()
    return _Walk(watermark=first, day=first)


def _keep(installation: Installation, walk: _Walk) -> None:
    expires_ms = installation.clock.now_ms() + 2 * span_ms(installation.retention)
    installation.store.put_note(
        _NOTES, _PROGRESS, dumps(asdict(walk)), expires_s=expires_ms // 1000
    )


_LATE: Final = timedelta(days=2)
"""Uploads whose event comes later than that are marked for the scheduler (see `ingest`)."""

_FIRST_ID: Final = first_id_at(0)
