"""The scheduler's tick: once a minute, send messages for due jobs and rescue stale ones.

It reads the attention index, acts, and only then moves the mark. After a crash between the two it
acts again, which is harmless because every action is idempotent.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Final

from remotejob.domain import upkeep_changes
from remotejob.domain.check_times import GRACE, RECHECK, first_look
from remotejob.domain.errors import QueueUnavailable, UnreadableItem
from remotejob.domain.locks import limits_of
from remotejob.domain.marks import HEADS_SHARD, Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.series import named_head
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.dependencies import recheck
from remotejob.jobs.coordination.locks import wake_and_send
from remotejob.jobs.coordination.replacement import cancel_outdated
from remotejob.jobs.coordination.series import read_head
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.messages import pending_address
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.scheduler.dead_letters import queues_in_turn, read_dead_letters
from remotejob.jobs.scheduler.lapsed import (
    Deadline,
    by_its_limit,
    fail_ended,
    lease_lapsed,
    never,
    runs_no_more,
    waits_in_vain,
    with_sensible_lease,
)
from remotejob.jobs.scheduler.without_queue import keep_or_fail
from remotejob.names import SHARDS
from remotejob.ports import Address, Installation

log = logging.getLogger(__name__)

PERIOD: Final = timedelta(minutes=1)

_LONGEST_CHECK_INTERVAL: Final = timedelta(hours=6)
_LONGEST_RECHECK_INTERVAL: Final = timedelta(hours=1)

_READ_AT_A_TIME: Final = 100
"""Source: Amazon DynamoDB, BatchGetItem."""


def tick(installation: Installation, *, time_is_up: Deadline = never) -> Counter[str]:
    """Process all marks that are due now, and count the actions.

    Stops between two batches once the time is up. The next tick goes on, because marks that were
    not moved are still due.
    """
    now, skipped = installation.clock.now_ms(), installation.skipped.count
    # waiting jobs last: there may be very many, and too little time for all of them
    work = [
        # the grace period: whoever has just ended the job is carrying out what it owes
        (Attention.OWED, now - span_ms(GRACE), _settle_ends),
        (Attention.RUNNING, now, _rescue_running),
        (Attention.WAITING, now + span_ms(PERIOD), _send_waiting),
    ]
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(SHARDS, thread_name_prefix="scheduler") as pool:
        for kind, until_ms, act in work:
            for counted in pool.map(
                lambda shard, kind=kind, until_ms=until_ms, act=act: _process_shard(
                    installation, kind, shard, until_ms, act, time_is_up
                ),
                range(SHARDS),
            ):
                counts += counted
    counts += _finish_replacements(installation, time_is_up)
    in_turn = queues_in_turn(installation)
    counts += read_dead_letters(installation, queues=in_turn, time_is_up=time_is_up)
    return counts + Counter(unreadable=installation.skipped.count - skipped)


def _finish_replacements(installation: Installation, time_is_up: Deadline) -> Counter[str]:
    """Cancel what `cancel_repeats` has outdated: whoever asked for it may have died on the way."""
    counts: Counter[str] = Counter()
    try:
        now = installation.clock.now_ms()
        marks = installation.store.attention(Attention.REPLACED, HEADS_SHARD, until_ms=now)
        for mark in marks:
            try:
                counts["replaced"] += _finish_replacement(mark.job_id, installation, time_is_up)
            except UnreadableItem as problem:
                if installation.skipped.add(problem):
                    log.error("repeats not replaced", extra={"repeats": mark.job_id})  # noqa: TRY400
                counts["replacements failed"] += 1
            except Exception:
                # its mark stays due, and the other heads have their turn
                log.exception("repeats not replaced", extra={"repeats": mark.job_id})
                counts["replacements failed"] += 1
    except Exception:
        log.exception("replaced repeats not found")
        counts["shards failed"] += 1
    return counts


def _finish_replacement(name: str, installation: Installation, time_is_up: Deadline) -> int:
    queue, task = named_head(name)
    head = read_head(queue, task, installation)
    if head.odd:
        raise UnreadableItem(head.key.partition, name, "it has no generation")
    ended = cancel_outdated(queue, task, installation, time_is_up=time_is_up)
    if ended is None:
        log.warning("time is up; the next run goes on", extra={"repeats": name})
        return 0
    # refused if another generation has begun meanwhile: its mark stays
    installation.store.transact([head.done()])
    return len(ended)


def _process_shard(
    installation: Installation,
    kind: str,
    shard: int,
    until_ms: int,
    act: Callable[[list[JobRecord], Installation], Counter[str]],
    time_is_up: Deadline,
) -> Counter[str]:
    counts: Counter[str] = Counter()
    where = {"kind": kind, "shard": shard}
    try:
        for batch in _marked_records(installation, kind, shard, until_ms):
            if time_is_up():
                log.warning("time is up; the next run goes on", extra=where)
                break
            counts += _process_batch(batch, installation, act, where)
    except Exception:
        # one failing shard must not stop the others; its marks stay due
        log.exception("shard not processed", extra=where)
        counts["shards failed"] += 1
    return counts


def _process_batch(
    batch: list[JobRecord],
    installation: Installation,
    act: Callable[[list[JobRecord], Installation], Counter[str]],
    where: Mapping[str, object],
) -> Counter[str]:
    try:
        return act(batch, installation)
    except Exception:
        log.exception("batch not processed", extra=dict(where))
        return Counter({"batches failed": 1})


def _marked_records(
    installation: Installation, kind: str, shard: int, until_ms: int
) -> Iterator[list[JobRecord]]:
    """The marked records. The index lags behind: skip those whose mark is gone or has moved."""
    marks = installation.store.attention(kind, shard, until_ms=until_ms)
    while ids := [mark.job_id for mark in islice(marks, _READ_AT_A_TIME)]:
        yield [
            record
            for record in installation.store.get_many(ids)
            if record.attention == attention_key(kind, record.id)
            and record.attention_ms is not None
            and record.attention_ms <= until_ms
        ]


def _send_waiting(records: list[JobRecord], installation: Installation) -> Counter[str]:
    now = installation.clock.now_ms()
    held_back = [record for record in records if record.blocked or record.parked]
    counts = Counter(rechecked=len(held_back))
    late = waits_in_vain(records, installation)
    counts["expired"] = fail_ended([one for one in records if one.id in late], installation)
    for record in held_back:
        if record.id not in late:
            _recheck(record, now, installation)
    free = [record for record in records if not (record.blocked or record.parked)]
    return counts + _send_unblocked([one for one in free if one.id not in late], installation)


def _recheck(record: JobRecord, now: int, installation: Installation) -> None:
    """Check what holds a job back besides its time: the worker that frees it may have died."""
    # move the mark first, since a release below sets a new one; and check less and less often,
    # since each check of a job that waits for hours costs an index write
    waited = min(max(now - record.updated_ms, span_ms(RECHECK)), span_ms(_LONGEST_RECHECK_INTERVAL))
    try:
        _move_mark(record, by_its_limit(record, now + waited, installation), installation)
        if record.blocked:
            carry_out(recheck(record, installation), installation)
        else:
            for limit in limits_of(record):
                wake_and_send(limit, installation)
    except Exception:
        # one failing job must not hold back the others
        log.exception("job not rechecked", extra=log_fields(record))


def _send_unblocked(records: list[JobRecord], installation: Installation) -> Counter[str]:
    now = installation.clock.now_ms()
    max_delay = installation.messages.capabilities.max_delay
    near = now + span_ms(max_delay)
    due = [
        record
        for record in records
        if record.state is State.WAITING and (record.due_ms or now) <= near
    ]
    unsent, counts = _send_by_lane(due, installation)
    for record in records:
        if record.id not in unsent:
            due_ms = record.due_ms or now
            check_ms = first_look(due_ms, now_ms=now, max_delay=max_delay)
            check_ms = max(check_ms, _next_check(due_ms, now))
            check_ms = by_its_limit(record, check_ms, installation)
            _try_to_move_mark(record, check_ms, installation)
    return counts


def _rescue_running(records: list[JobRecord], installation: Installation) -> Counter[str]:
    now = installation.clock.now_ms()
    records = [with_sensible_lease(record, installation) for record in records]
    lapsed = [record for record in records if lease_lapsed(record, now, skew=installation.skew)]
    spent = {one.id for one in lapsed if runs_no_more(one, now, skew=installation.skew)}
    expired = fail_ended(lapsed, installation)
    unsent, counts = _send_by_lane(
        [record for record in lapsed if record.id not in spent], installation
    )
    for record in records:
        if record.id not in unsent | spent:
            _try_to_move_mark(record, _next_check(record.lease_ms or now, now), installation)
    return Counter({"rescued": counts["sent"], "expired": expired})


def rescue(installation: Installation) -> int:
    """Requeue every running job whose worker fell silent, or fail it; return how many there were.

    Jobs that never reached a heartbeat carry no mark: their message comes back by itself.
    """
    now = installation.clock.now_ms()
    rescued = 0
    for shard in range(SHARDS):
        # marks lag behind the leases: a job whose lease has lapsed may be marked for later
        marked = _marked_records(
            installation, Attention.RUNNING, shard, now + span_ms(_LONGEST_CHECK_INTERVAL)
        )
        for batch in marked:
            sensible = [with_sensible_lease(record, installation) for record in batch]
            lapsed = [
                record for record in sensible if lease_lapsed(record, now, skew=installation.skew)
            ]
            rescued += len(lapsed)
            _rescue_running(lapsed, installation)
    return rescued


def _send_by_lane(
    records: list[JobRecord], installation: Installation
) -> tuple[set[str], Counter[str]]:
    """Send messages for jobs, lane by lane; return the ids whose lane failed, and the counts.

    A job whose queue is no longer deployed gets no message. It is checked less and less often, and
    runs once its queue is back, or fails if that takes too long.
    """
    lanes: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    counts: Counter[str] = Counter()
    unserved: list[JobRecord] = []
    for record in records:
        if record.queue in installation.queues:
            lanes[pending_address(record, installation.queues)].append(record)
        else:
            unserved.append(record)
    unsent: set[str] = set()
    for record in unserved:
        counts["without a queue"] += 1
        try:
            counts["failed without a queue"] += keep_or_fail(record, installation)
        except Exception:
            # its mark stays due; go on with the others
            log.exception("job without a queue not handled", extra=log_fields(record))
            unsent.add(record.id)
    for address, waiting in lanes.items():
        try:
            send_for(waiting, installation)
            counts["sent"] += len(waiting)
        except QueueUnavailable as refusal:
            # of some messages only, or of all
            log.error("%s; they will be tried again", refusal)  # noqa: TRY400 (it says everything)
            refused = range(len(waiting)) if refusal.refused is None else refusal.refused
            unsent |= {waiting[number].id for number in refused}
            counts["sent"] += len(waiting) - len(refused)
            counts["lanes failed"] += 1
        except Exception:
            # its marks stay due; go on with the other lanes
            log.exception("lane not sent to", extra={"queue": address.queue})
            unsent |= {record.id for record in waiting}
            counts["lanes failed"] += 1
    return unsent, counts


def _next_check(since_ms: int, now_ms: int) -> int:
    """When to check a job again that should have moved on at `since_ms`.

    The longer it is overdue, the later: most likely its message is in the queue and waits its turn.
    A new message every two minutes would multiply a day's backlog by hundreds.
    """
    if since_ms > now_ms:
        return since_ms + span_ms(GRACE)
    overdue = now_ms - since_ms
    return now_ms + min(max(overdue, span_ms(GRACE)), span_ms(_LONGEST_CHECK_INTERVAL))


def _move_mark(record: JobRecord, to_ms: int, installation: Installation) -> None:
    installation.store.update(upkeep_changes.move_mark(record, to_ms=to_ms))


def _try_to_move_mark(record: JobRecord, to_ms: int, installation: Installation) -> None:
    try:
        _move_mark(record, to_ms, installation)
    except Exception:
        # it stays due; the others have their turn
        log.exception("mark not moved", extra=log_fields(record))


def _settle_ends(records: list[JobRecord], installation: Installation) -> Counter[str]:
    return Counter(paid=len(carry_out(records, installation)))
