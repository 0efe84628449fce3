"""Counts the children of batches as they end, and releases the job that follows a batch.

An ended child owes its batch the count. The transaction that counts it also clears what it owes,
so after a crash the child is either counted or still marked. The batch blocks its follower from
the start, so after a crash the scheduler finds an unreleased follower when it re-checks it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from remotejob.domain import batch_changes, batches, command_changes
from remotejob.domain.batches import BATCH, BatchRecord
from remotejob.domain.errors import StoreUnavailable, UnreadableItem
from remotejob.domain.history import Action, entered
from remotejob.domain.ids import new_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Step
from remotejob.domain.unreadable import reading_item
from remotejob.domain.upkeep_changes import settle
from remotejob.jobs.messaging.send import send_if_free
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)

_TRIES: Final = 5
_AT_A_TIME: Final = 50
"""Children settled in one transaction, which takes 100 steps."""


def read_batch(batch_id: str, installation: Installation) -> BatchRecord | None:
    """The current state of a batch, in one request. Raises: UnreadableItem."""
    partition = batches.partition_of_batch(batch_id)
    items = dict(installation.store.items(partition, BATCH))
    with reading_item(partition, BATCH):
        return BatchRecord.of(batch_id, items)


def count_ended(records: Sequence[JobRecord], installation: Installation) -> list[JobRecord]:
    """Settle children that ended and count each end once; return the settled ones.

    A failure in one batch does not hold back the others.
    """
    by_batch: defaultdict[str, list[JobRecord]] = defaultdict(list)
    for record in {record.id: record for record in records}.values():
        assert record.batch is not None
        by_batch[record.batch].append(record)
    settled: list[JobRecord] = []
    for batch_id, ended in by_batch.items():
        try:
            for start in range(0, len(ended), _AT_A_TIME):
                some = ended[start : start + _AT_A_TIME]
                _count(batch_id, some, installation)
                settled += some
        except UnreadableItem as problem:
            installation.skipped.add(problem)
            settled += _settled_uncounted(ended, settled, installation)
        except Exception:
            log.exception("children not counted; will be tried again", extra={"batch": batch_id})
        try:
            release_follower(batch_id, installation)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
        except Exception:
            # the batch still blocks it, so the scheduler re-checks it
            log.exception("follower not released; will be tried again", extra={"batch": batch_id})
    return settled


def _count(batch_id: str, records: Sequence[JobRecord], installation: Installation) -> None:
    retention_ms = span_ms(installation.retention)
    left = list(records)
    while left:
        steps = batch_changes.counted(batch_id, left, retention_ms=retention_ms)
        conflict = installation.store.transact(steps)
        if conflict is None:
            return
        if conflict.step == len(left):
            log.warning("batch %s has expired; its children are not counted", batch_id)
            _settle_alone(left, installation)
            return
        # another process has settled and counted it
        del left[conflict.step]


def _settle_alone(records: Sequence[JobRecord], installation: Installation) -> None:
    for record in records:
        change = settle(record, retention_ms=span_ms(installation.retention))
        installation.store.update(change)


def _settled_uncounted(
    ended: Sequence[JobRecord], settled: Sequence[JobRecord], installation: Installation
) -> list[JobRecord]:
    """Settle the children of a batch whose counters cannot be read: their own ends count."""
    done = {record.id for record in settled}
    left = [record for record in ended if record.id not in done]
    try:
        _settle_alone(left, installation)
    except Exception:
        log.exception("children not settled; will be tried again")
        return []
    return left


def release_follower(batch_id: str, installation: Installation) -> None:
    """Let the job that follows a batch run, if the batch is complete."""
    store = installation.store
    for _ in range(_TRIES):
        batch = read_batch(batch_id, installation)
        if batch is None or not batch.complete or not batch.follower_ids:
            return
        job_id = batch.follower_ids[-1]
        now = installation.clock.now_ms()
        conflict = store.transact(
            batch_changes.unlock(batch, job_id, now_ms=now, waiting=True, actor=installation.actor)
        )
        if conflict is None:
            send_if_free(store.get(job_id), installation)
            return
        if conflict.step == 0:
            record = conflict.record
            if record is None:
                return
            if batch_id not in (record.blocked or ()):
                # released before, perhaps by a process that died before sending
                send_if_free(record, installation)
                return
            unlocked = batch_changes.unlock(
                batch, job_id, now_ms=now, waiting=False, actor=installation.actor
            )
            if store.transact(unlocked) is None:
                return
        # meanwhile a child was restarted or counted, or the follower paused or resumed
    raise StoreUnavailable(f"batch {batch_id} changed each time it was read; try again")


def recheck_batch(record: JobRecord, batch_id: str, installation: Installation) -> JobRecord | None:
    """Check the batch that blocks a job, in case its release was lost.

    Returns the job if this cancelled it.
    """
    try:
        batch = read_batch(batch_id, installation)
    except UnreadableItem as problem:
        installation.skipped.add(problem)
        return None
    now = installation.clock.now_ms()
    if batch is not None and not batch.given_up(now):
        release_follower(batch_id, installation)
        return None
    log.warning("batch %s will never complete; its follower is cancelled", batch_id)
    change = entered(
        command_changes.cancel(record, now_ms=now),
        record,
        Action.CANCELLED,
        actor=installation.actor,
        detail=f"batch {batch_id}, which it follows, will never complete",
    )
    outcome = installation.store.update(change)
    return outcome.record if isinstance(outcome, Updated) else None


def uncount(record: JobRecord, installation: Installation) -> list[Step]:
    """The steps that go with the restart of a child: its end no longer counts in its batch.

    They also ensure that a job follows the batch when it completes again: the existing follower if
    it was not released yet, else a new one.
    """
    batch = None if record.batch is None else read_batch(record.batch, installation)
    if batch is None:
        return []
    steps: list[Step] = [batch_changes.uncounted(batch, record)]
    if not batch.follower_ids:
        return steps
    follower = installation.store.get(batch.follower_ids[-1])
    if follower is not None and batch.id in (follower.blocked or ()):
        return [*steps, batch_changes.follows(batch.id, follower.id)]
    now = installation.clock.now_ms()
    job_id = new_job_id(now, installation.entropy)
    return [*steps, *batch_changes.followed(batch, job_id, now_ms=now)]
