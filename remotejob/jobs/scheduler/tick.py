"""The scheduler: once a minute, what is due is sent for and what is stale is rescued.

It reads the attention index, acts, and only then moves the mark: a crash between the two acts
again, which is harmless, for every act is idempotent.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Final

from remotejob.domain import changes
from remotejob.domain.check_times import GRACE, RECHECK, first_look
from remotejob.domain.claim_decisions import CLOCK_SKEW, budget_spent
from remotejob.domain.locks import limits_of
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.coordination.dependencies import recheck
from remotejob.jobs.coordination.locks import wake_and_send
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.messages import pending_address
from remotejob.jobs.messaging.send import send_for
from remotejob.names import SHARDS
from remotejob.ports import Address, Installation, Updated

log = logging.getLogger(__name__)

PERIOD: Final = timedelta(minutes=1)

_RAREST_LOOK: Final = timedelta(hours=6)
_RAREST_RECHECK: Final = timedelta(hours=1)

_READ_AT_A_TIME: Final = 100
"""Source: Amazon DynamoDB, BatchGetItem."""

Deadline = Callable[[], bool]
"""Whether the time is up."""


def never() -> bool:
    return False


def tick(installation: Installation, *, time_is_up: Deadline = never) -> Counter[str]:
    """Do what is due now, and count it.

    Stops between two batches once the time is up; the next tick goes on, for marks that were not
    moved are still due.
    """
    now = installation.clock.now_ms()
    # those that wait last: there may be very many of them, and the time may not be enough
    work = [
        # whoever ended the job is carrying out what it owes at this moment
        (Attention.OWED, now - span_ms(GRACE), _pay_owed),
        (Attention.RUNNING, now, _rescue_running),
        (Attention.WAITING, now + span_ms(PERIOD), _send_waiting),
    ]
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(SHARDS, thread_name_prefix="scheduler") as pool:
        for kind, until_ms, act in work:
            for counted in pool.map(
                lambda shard, kind=kind, until_ms=until_ms, act=act: _shard(
                    installation, kind, shard, until_ms, act, time_is_up
                ),
                range(SHARDS),
            ):
                counts += counted
    return counts


def _shard(
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
        for batch in _batches(installation, kind, shard, until_ms):
            if time_is_up():
                log.warning("time is up; the next run goes on", extra=where)
                break
            counts += _done(batch, installation, act, where)
    except Exception:
        # one shard never takes the others down; its marks stay due
        log.exception("shard not read", extra=where)
        counts["shards failed"] += 1
    return counts


def _done(
    batch: list[JobRecord],
    installation: Installation,
    act: Callable[[list[JobRecord], Installation], Counter[str]],
    where: Mapping[str, object],
) -> Counter[str]:
    try:
        return act(batch, installation)
    except Exception:
        log.exception("batch not done", extra=dict(where))
        return Counter({"batches failed": 1})


def _batches(
    installation: Installation, kind: str, shard: int, until_ms: int
) -> Iterator[list[JobRecord]]:
    """The marked records, without those whose mark is gone or moved: the index lags behind."""
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
    hindered = [record for record in records if record.blocked or record.parked]
    counts = Counter(rechecked=len(hindered))
    for record in hindered:
        _recheck(record, now, installation)
    free = [record for record in records if not (record.blocked or record.parked)]
    return counts + _send_free(free, installation)


def _recheck(record: JobRecord, now: int, installation: Installation) -> None:
    """Look at what a job waits for besides its time: whoever should have told it may have died."""
    # moved first: what is found below marks the job anew; and ever more rarely, for who waits an
    # hour for a long job costs an index write each time
    waited = min(max(now - record.updated_ms, span_ms(RECHECK)), span_ms(_RAREST_RECHECK))
    _move_mark(record, now + waited, installation)
    try:
        if record.blocked:
            carry_out(recheck(record, installation), installation)
        else:
            for limit in limits_of(record):
                wake_and_send(limit, installation)
    except Exception:
        # one job never holds back the others
        log.exception("job not looked at", extra=log_fields(record))


def _send_free(records: list[JobRecord], installation: Installation) -> Counter[str]:
    now = installation.clock.now_ms()
    max_delay = installation.messages.capabilities.max_delay
    near = now + span_ms(max_delay)
    due = [
        record
        for record in records
        if record.state is State.WAITING and (record.due_ms or now) <= near
    ]
    unsent, counts = _sent(due, installation)
    for record in records:
        if record.id not in unsent:
            due_ms = record.due_ms or now
            look = first_look(due_ms, now_ms=now, max_delay=max_delay)
            _move_mark(record, max(look, _next_look(due_ms, now)), installation)
    return counts


def _rescue_running(records: list[JobRecord], installation: Installation) -> Counter[str]:
    now = installation.clock.now_ms()
    lapsed = [record for record in records if lease_lapsed(record, now)]
    spent = {record.id for record in lapsed if budget_spent(record)}
    expired = expire_spent(lapsed, installation)
    unsent, counts = _sent([record for record in lapsed if record.id not in spent], installation)
    for record in records:
        if record.id not in unsent | spent:
            _move_mark(record, _next_look(record.lease_ms or now, now), installation)
    return Counter({"rescued": counts["sent"], "expired": expired})


def rescue(installation: Installation) -> int:
    """Send for every running job whose worker fell silent, or fail it; how many there were.

    Jobs that never lived to a heartbeat carry no mark: their message comes back by itself.
    """
    now = installation.clock.now_ms()
    rescued = 0
    for shard in range(SHARDS):
        # marks lie a while behind the leases: what is lapsed now may be marked for later
        marked = _batches(installation, Attention.RUNNING, shard, now + span_ms(_RAREST_LOOK))
        for batch in marked:
            lapsed = [record for record in batch if lease_lapsed(record, now)]
            rescued += len(lapsed)
            _rescue_running(lapsed, installation)
    return rescued


def _sent(records: list[JobRecord], installation: Installation) -> tuple[set[str], Counter[str]]:
    """Send for jobs, lane by lane; the ids of those whose lane failed, and the counts.

    A job of a queue that is no longer deployed cannot be sent for: it is looked at ever more
    rarely, and runs once its queue is back.
    """
    lanes: defaultdict[Address, list[JobRecord]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for record in records:
        if record.queue in installation.queues:
            lanes[pending_address(record, installation.queues)].append(record)
        else:
            log.warning("queue %r is not deployed", record.queue, extra=log_fields(record))
            counts["without a queue"] += 1
    unsent: set[str] = set()
    for address, waiting in lanes.items():
        try:
            send_for(waiting, installation)
            counts["sent"] += len(waiting)
        except Exception:
            # its marks stay due; the other lanes' jobs are no worse for it
            log.exception("lane not sent to", extra={"queue": address.queue})
            unsent |= {record.id for record in waiting}
            counts["lanes failed"] += 1
    return unsent, counts


def _next_look(since_ms: int, now_ms: int) -> int:
    """When to look again at what should have gone on at `since_ms`.

    The longer it has not, the later: its messages are most likely there, and waiting their turn.
    Sent for every two minutes, a day's backlog would multiply by hundreds.
    """
    if since_ms > now_ms:
        return since_ms + span_ms(GRACE)
    overdue = now_ms - since_ms
    return now_ms + min(max(overdue, span_ms(GRACE)), span_ms(_RAREST_LOOK))


def _move_mark(record: JobRecord, to_ms: int, installation: Installation) -> None:
    installation.store.update(changes.move_mark(record, to_ms=to_ms))


def _pay_owed(records: list[JobRecord], installation: Installation) -> Counter[str]:
    return Counter(paid=len(carry_out(records, installation)))


def lease_lapsed(record: JobRecord, now_ms: int) -> bool:
    """Whether a running job's worker has fallen silent for good."""
    lease = record.lease_ms
    return record.state is State.RUNNING and lease is not None and lease + _SKEW_MS <= now_ms


def expire_spent(lapsed: list[JobRecord], installation: Installation) -> int:
    """Fail those whose workers died too often, with the consequences; return how many."""
    now = installation.clock.now_ms()
    ended = []
    for record in lapsed:
        if budget_spent(record):
            change = changes.expire(record, now_ms=now, skew_ms=_SKEW_MS)
            outcome = installation.store.update(change)
            if isinstance(outcome, Updated):
                ended.append(outcome.record)
    carry_out(ended, installation)
    return len(ended)


_SKEW_MS: Final = span_ms(CLOCK_SKEW)
