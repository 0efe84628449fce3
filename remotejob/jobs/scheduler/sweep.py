"""The sweep: every few hours, handles jobs that slipped through everything else.

It walks the days from a watermark, before which every job has ended and nothing is left to do. A
job that is ready, runs under a lapsed lease or owes consequences, and has not changed for an hour,
has lost its message: the sweep sends another, at most once a day. It also deletes outputs of runs
that did not commit, checkpoints that no run will continue from, and what removed jobs left behind.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from itertools import islice
from typing import Final

from remotejob.domain import upkeep_changes
from remotejob.domain.checkpoints import checkpoint_key, is_checkpoint, struck_out
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import first_id_at, partition
from remotejob.domain.marks import Attention
from remotejob.domain.priority import Lane
from remotejob.domain.record import JobRecord, output_prefix
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.content.removal import clear, tombstone_of
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.sweep_progress import LATE, Walk, load_walk, save_walk
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.scheduler.lapsed import (
    Deadline,
    fail_ended,
    lease_lapsed,
    never,
    runs_no_more,
    with_sensible_lease,
)
from remotejob.jobs.scheduler.without_queue import keep_or_fail
from remotejob.names import SHARDS, Field
from remotejob.ports import Address, Area, Channel, Installation, Updated

log = logging.getLogger(__name__)

_UNCHANGED_FOR: Final = timedelta(hours=1)
"""How long a record must be unchanged before the sweep acts on it."""

_SWEEP_INTERVAL: Final = timedelta(days=1)
"""How long until the same job may be swept again."""

_LAST_DAY: Final = timedelta(days=1)
"""How long before its record expires a checkpoint is deleted."""

_READ_AT_A_TIME: Final = 100
"""Source: Amazon DynamoDB, BatchGetItem."""

_FIRST_ID: Final = first_id_at(0)


def sweep(installation: Installation, *, time_is_up: Deadline = never) -> Counter[str]:
    """Walk the days from where the last sweep ran out of time, or else from the watermark."""
    skipped = installation.skipped.count
    counts: Counter[str] = Counter()
    _keep_lanes_measured(installation)
    _delete_checkpoints(installation, counts)
    _clear_removed(installation, counts)
    _walk_days(installation, counts, time_is_up)
    return counts + Counter(unreadable=installation.skipped.count - skipped)


def _walk_days(installation: Installation, counts: Counter[str], time_is_up: Deadline) -> None:
    today = from_ms(installation.clock.now_ms()).date()
    walk = load_walk(installation, today)
    while date.fromisoformat(walk.day) <= today:
        while walk.shard < SHARDS:
            skipped = installation.skipped.count
            for record in _records_of_shard(installation, walk):
                if time_is_up():
                    walk = _unless_skipped(walk, skipped, today, installation)
                    save_walk(installation, walk)
                    log.warning("time is up; the next sweep goes on", extra=asdict(walk))
                    return
                try:
                    done = _sweep_record(record, installation, counts)
                except Exception:
                    # one failing job must not hold back the others
                    log.exception("job not swept", extra=log_fields(record))
                    done = False
                walk = replace(walk, after=record.id, closed=walk.closed and done)
            walk = _unless_skipped(walk, skipped, today, installation)
            walk = replace(walk, shard=walk.shard + 1, after="")
        walk = _next_day(walk, today)
    save_walk(installation, Walk(watermark=walk.watermark, day=walk.watermark))


def _unless_skipped(walk: Walk, skipped: int, today: date, installation: Installation) -> Walk:
    """The walk, of which the day stays open if a record was left out since `skipped` were.

    A newer version may have written it: after an update it may need something.
    """
    retained = date.fromisoformat(walk.day) >= today - installation.retention
    if installation.skipped.count > skipped and retained:
        return replace(walk, closed=False)
    return walk


def _keep_lanes_measured(installation: Installation) -> None:
    """Read the depth of every lane, so that SQS keeps reporting its metrics.

    SQS stops reporting a queue that nobody has used for six hours, and takes up to 15 minutes to
    start again. During that time the alarm that starts workers would see nothing.
    Source: Amazon SQS, "Creating CloudWatch alarms for Amazon SQS metrics".
    """
    for queue in installation.queues:
        for lane in Lane:
            address = Address(queue, Channel(lane.value))
            try:
                installation.messages.depth(address)
            except Exception:
                log.exception("depth of a lane not read", extra={"lane": str(address)})


def _records_of_shard(installation: Installation, walk: Walk) -> Iterator[JobRecord]:
    day = date.fromisoformat(walk.day)
    return installation.store.listing(partition(day, walk.shard), after=walk.after or _FIRST_ID)


def _next_day(walk: Walk, today: date) -> Walk:
    following = (date.fromisoformat(walk.day) + timedelta(days=1)).isoformat()
    # a day may get jobs after it is over: clocks differ, and an upload's job belongs to the day of
    # its event, which may have waited in its queue
    settled = date.fromisoformat(walk.day) < today - LATE
    unbroken = walk.unbroken and walk.closed and settled
    return Walk(
        watermark=following if unbroken else walk.watermark, day=following, unbroken=unbroken
    )


def _sweep_record(record: JobRecord, installation: Installation, counts: Counter[str]) -> bool:
    """Do what the record needs; return whether it will never need anything again."""
    record = with_sensible_lease(record, installation)
    now = installation.clock.now_ms()
    # a time stamp beyond sense says nothing about when the record changed
    unchanged = record.updated_ms <= now - span_ms(
        _UNCHANGED_FOR
    ) or record.updated_ms > now + span_ms(_UNCHANGED_FOR)
    if record.terminal and record.owed is None:
        return _tidy(record, installation, counts, unchanged=unchanged)
    swept_ms = record.swept_ms or 0
    swept_lately = now - span_ms(_SWEEP_INTERVAL) < swept_ms <= now + span_ms(_UNCHANGED_FOR)
    lapsed = lease_lapsed(record, now, skew=installation.skew)
    stuck = record.state is State.READY or lapsed or record.owed is not None
    if not unchanged or swept_lately or not stuck:
        return False
    log.warning("swept: %s and silent", record.state, extra=log_fields(record))
    if record.owed is not None:
        counts["paid"] += len(carry_out([record], installation))
        # do not set `swept`: on a job that has ended, it says that its outputs are tidied
        return False
    if runs_no_more(record, now, skew=installation.skew):
        counts["expired"] += fail_ended([record], installation)
    elif record.queue not in installation.queues:
        counts["failed without a queue"] += keep_or_fail(record, installation)
    else:
        send_for([record], installation)
        counts["sent"] += 1
    installation.store.update(upkeep_changes.swept(record, now_ms=now))
    return False


def _tidy(
    record: JobRecord, installation: Installation, counts: Counter[str], *, unchanged: bool
) -> bool:
    """Delete outputs of runs that did not commit, once the last of these runs must be over.

    And their checkpoints, except the one that a restart would continue from. Returns whether
    nothing is left to tidy.
    """
    completed = record.state is State.COMPLETED
    only_run = record.attempt <= 1 and not (record.failures or record.crashes or record.releases)
    tidied = record.swept_ms is not None and record.swept_ms > record.updated_ms
    if tidied or (completed and only_run and record.checkpoint_ref is None):
        return True
    if not unchanged:
        return False
    orphans = _orphans(record, installation)
    if orphans and installation.store.get(record.id) != record:
        # restarted since we read it: the files may belong to its next run
        return False
    installation.files.delete(Area.OUTPUT, orphans)
    counts["outputs removed"] += len(orphans)
    gone = (Field.CHECKPOINT_REF,) if completed and record.checkpoint_ref is not None else ()
    now = installation.clock.now_ms()
    installation.store.update(upkeep_changes.swept(record, now_ms=now, remove=gone))
    return True


def _orphans(record: JobRecord, installation: Installation) -> list[str]:
    """Files of an ended job that nobody will read."""
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


def _delete_checkpoints(installation: Installation, counts: Counter[str]) -> None:
    """Delete checkpoints of failed and cancelled jobs before their records expire.

    After that, nothing would point to the files.
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
                            _try_to_delete_checkpoint(record, installation, counts)
            except Exception:
                log.exception("checkpoints not deleted", extra={"kind": kind, "shard": shard})


def _try_to_delete_checkpoint(
    record: JobRecord, installation: Installation, counts: Counter[str]
) -> None:
    try:
        _delete_checkpoint(record, installation, counts)
    except Exception:
        # one failing job must not hold back the others
        log.exception("checkpoint not deleted", extra=log_fields(record))


def _delete_checkpoint(record: JobRecord, installation: Installation, counts: Counter[str]) -> None:
    now = installation.clock.now_ms()
    # in three steps: a restart in between finds no checkpoint to continue from, and after a crash
    # in between the next sweep finds the job again
    outcome = installation.store.update(
        upkeep_changes.swept(record, now_ms=now, report={Field.CHECKPOINT_REF: struck_out(record)})
    )
    if not isinstance(outcome, Updated):
        return
    orphans = _orphans(outcome.record, installation)
    installation.files.delete(Area.OUTPUT, orphans)
    counts["outputs removed"] += len(orphans)
    gone = upkeep_changes.swept(outcome.record, now_ms=now, remove=(Field.CHECKPOINT_REF,))
    installation.store.update(gone)


def _clear_removed(installation: Installation, counts: Counter[str]) -> None:
    """Delete what removed jobs left, where the command that removed them was cut off."""
    until_ms = installation.clock.now_ms() - span_ms(_UNCHANGED_FOR)
    for shard in range(SHARDS):
        try:
            for mark in installation.store.attention(Attention.REMOVED, shard, until_ms=until_ms):
                _try_to_clear(mark.job_id, installation, counts)
        except Exception:
            log.exception("removed jobs not cleared", extra={"shard": shard})


def _try_to_clear(job_id: str, installation: Installation, counts: Counter[str]) -> None:
    try:
        tombstone = tombstone_of(job_id, installation)
        if tombstone is not None:
            clear(tombstone, installation)
            counts["removals finished"] += 1
    except UnreadableItem as problem:
        installation.skipped.add(problem)
    except Exception:
        # one failing job must not hold back the others
        log.exception("removed job not cleared", extra={"job": job_id})
