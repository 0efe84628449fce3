"""Explains why a job does not run: what it waits for, as far as can be seen from outside.

The record alone does not say that a lock is held, that a queue is long, or that no live worker can
run the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from remotejob.domain import locks
from remotejob.domain.batches import is_batch_id
from remotejob.domain.claim_decisions import NO_TASK
from remotejob.domain.locks import Limit, limits_of
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State
from remotejob.domain.suspects import runs_alone
from remotejob.domain.text import counted
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.coordination.locks import live_holders
from remotejob.jobs.messaging.messages import pending_address
from remotejob.jobs.queries.budgets import pause_of
from remotejob.jobs.queries.workers import KEPT, WorkerStatus, workers
from remotejob.names import SMOKE_TASK, Partition
from remotejob.ports import Installation

_MINUTES_FROM: Final = 180
_HOURS_FROM: Final = 3 * 3600
"""Seconds from which an age is told in minutes, and in hours."""


class Why(StrEnum):
    """Why a job is not running, or that it runs."""

    ENDED = "ended"
    OWED = "owed"
    """It has ended, and the consequences are still being carried out."""
    RUNNING = "running"
    WORKER_SILENT = "worker_silent"
    """Its worker's lease has ended; the next worker takes the job over or fails it."""
    WINDING_DOWN = "winding_down"
    """A cancelled run has not stopped yet."""
    PAUSED = "paused"
    DEPENDS = "depends"
    """It depends on jobs that have not completed."""
    BATCH = "batch"
    """It follows a batch whose jobs have not all ended."""
    RESOURCE = "resource"
    """Another job holds its resource."""
    TENANT = "tenant"
    """Its tenant has as many jobs running as allowed."""
    RETRY = "retry"
    """A run failed, and the retry is not due yet."""
    DUE = "due"
    """It is not due yet."""
    NO_QUEUE = "no_queue"
    """Its queue is not deployed."""
    BUDGET = "budget"
    """Its queue has spent its daily budget, and is paused until 00:00 UTC."""
    NO_WORKER = "no_worker"
    """No live worker that takes jobs can run it."""
    QUEUED = "queued"
    """It only waits for its turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a job does not run."""

    code: Why
    text: str
    """A sentence for people."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The facts in the sentence, for JSON: ids, counts, times in ISO 8601."""

    def __str__(self) -> str:
        return self.text


def why(record: JobRecord, installation: Installation) -> Reason:
    """The first thing that keeps a job from running, or that it runs.

    Raises: boto3's errors, when AWS cannot be reached.
    """
    now_ms = installation.clock.now_ms()
    if record.terminal:
        return _ended(record, now_ms, skew_ms=span_ms(installation.skew))
    if record.state is State.RUNNING:
        return _running(record, now_ms, skew_ms=span_ms(installation.skew))
    if record.state is State.PAUSED:
        since = _iso(record.updated_ms)
        return Reason(
            code=Why.PAUSED,
            text=f"it is paused, unchanged since {since}; resume it",
            details={"since": since},
        )
    if record.blocked:
        return _depends(record.blocked, installation)
    if record.run_id is not None and record.live(
        record.run_id, now_ms, skew_ms=span_ms(installation.skew)
    ):
        return _winding_down(record)
    if not (record.parked or record.runnable(now_ms)):
        return _not_due(record)
    for limit in limits_of(record):
        reason = _locked(record, limit, now_ms, installation)
        if reason is not None:
            return reason
    return _turn(record, installation)


def unable(records: Iterable[JobRecord], installation: Installation) -> list[JobRecord]:
    """The jobs that have not ended, do not run, and that no live worker can run."""
    waiting = [one for one in records if not one.terminal and one.state is not State.RUNNING]
    doable = {
        (name, task)
        for name in {record.queue for record in waiting} & set(installation.queues)
        for status in workers(installation, name)
        if status.takes_jobs
        for task in status.abilities
    }
    return [record for record in waiting if (record.queue, record.task) not in doable]


def _ended(record: JobRecord, now_ms: int, *, skew_ms: int) -> Reason:
    if record.run_id is not None and record.live(record.run_id, now_ms, skew_ms=skew_ms):
        return _winding_down(record)
    at = None if record.finished_ms is None else _iso(record.finished_ms)
    details: dict[str, Any] = {"state": record.state, "at": at}
    said = f"it {'has' if record.state is not State.CANCELLED else 'was'} {record.state}, at {at}"
    if record.errors and record.state is not State.COMPLETED:
        details["error"] = _error(record.errors[-1])
        said += f": {details['error']}"
    if record.owed is None:
        return Reason(code=Why.ENDED, text=said, details=details)
    return Reason(
        code=Why.OWED,
        text=f"{said}; what follows from that is still being carried out",
        details=details,
    )


def _running(record: JobRecord, now_ms: int, *, skew_ms: int) -> Reason:
    details: dict[str, Any] = {
        "worker": record.worker,
        "attempt": record.attempt,
        "since": None if record.started_ms is None else _iso(record.started_ms),
    }
    beyond_sense = record.lease_beyond_sense(now_ms)
    if record.lease_ms is not None and record.lease_ms + skew_ms > now_ms and not beyond_sense:
        return Reason(
            code=Why.RUNNING,
            text=f"it runs, attempt {record.attempt} since {details['since']}, on worker "
            f"{record.worker}",
            details=details,
        )
    if beyond_sense:
        details["lease_until"] = None
        return Reason(
            code=Why.WORKER_SILENT,
            text="its lease ends later than any worker's can, so no run holds it; the next worker "
            "takes the job over",
            details=details,
        )
    details["lease_until"] = None if record.lease_ms is None else _iso(record.lease_ms)
    return Reason(
        code=Why.WORKER_SILENT,
        text=f"its worker {record.worker} fell silent: its lease ended at "
        f"{details['lease_until']}; the next worker takes the job over{_alone(record)}",
        details=details,
    )


def _winding_down(record: JobRecord) -> Reason:
    assert record.lease_ms is not None
    until = _iso(record.lease_ms)
    return Reason(
        code=Why.WINDING_DOWN,
        text=f"it was cancelled while it ran, and worker {record.worker} has not stopped it yet; "
        f"it has until {until}",
        details={"worker": record.worker, "until": until},
    )


def _depends(blocked: Iterable[str], installation: Installation) -> Reason:
    batches = sorted(one for one in blocked if is_batch_id(one))
    if batches:
        return Reason(
            code=Why.BATCH,
            text=f"it runs once batch {', '.join(batches)} is done",
            details={"batches": batches},
        )
    found = {one.id: one.state for one in installation.store.get_many(sorted(blocked))}
    states = {job_id: found.get(job_id) for job_id in sorted(blocked)}
    named = ", ".join(f"{job_id} ({state or 'removed'})" for job_id, state in states.items())
    return Reason(
        code=Why.DEPENDS,
        text=f"it waits for {counted(len(states), 'other job')}: {named}",
        details={"jobs": states},
    )


def _not_due(record: JobRecord) -> Reason:
    due = None if record.due_ms is None else _iso(record.due_ms)
    if record.failures and record.errors:
        error = _error(record.errors[-1])
        return Reason(
            code=Why.RETRY,
            text=f"its run failed ({error}); it runs again at {due}",
            details={"due": due, "failures": record.failures, "error": error},
        )
    return Reason(code=Why.DUE, text=f"it is due at {due}", details={"due": due})


def _locked(
    record: JobRecord, limit: Limit, now_ms: int, installation: Installation
) -> Reason | None:
    """The reason if a lock that the job needs has no free slot."""
    live = live_holders(limit, installation, now_ms=now_ms)
    if len(live) < limit.slots:
        return None
    waiters = installation.store.items(limit.partition, locks.WAITERS)
    own = locks.waiter_key(limit, record.id).name
    ahead = sum(name < own for name, _ in waiters)
    begun = {one.id: None if one.started_ms is None else _iso(one.started_ms) for one in live}
    named = ", ".join(f"job {job_id} since {at}" for job_id, at in begun.items())
    if limit.partition.startswith(Partition.RESOURCE):
        code, what = Why.RESOURCE, f"resource {record.resource!r}"
    else:
        code = Why.TENANT
        what = f"{counted(limit.slots, 'place')} of tenant {record.tenant!r}"
    before = counted(ahead, "job") if ahead else "nothing"
    return Reason(
        code=code,
        text=f"it waits for the {what}, held by {named}; {before} before it",
        details={"holders": begun, "ahead": ahead},
    )


def _turn(record: JobRecord, installation: Installation) -> Reason:
    if record.queue not in installation.queues:
        return Reason(
            code=Why.NO_QUEUE,
            text=f"its queue {record.queue!r} is not deployed; deploy it, or cancel the job",
            details={"queue": record.queue},
        )
    paused = pause_of(installation.queues[record.queue], installation)
    if paused is not None:
        return Reason(code=Why.BUDGET, text=paused, details={"queue": record.queue})
    seen = workers(installation, record.queue)
    able = [status for status in seen if record.task in (*status.abilities, SMOKE_TASK)]
    failed = _failed_start(seen)
    alive = [status for status in able if status.takes_jobs]
    if not alive:
        others = sum(status.takes_jobs for status in seen)
        return _no_worker(record, able, failed, others=others)
    address = pending_address(record, installation.queues)
    depth = installation.messages.depth(address)
    places = sum(status.concurrency for status in alive)
    text = (
        f"it waits for its turn: about {counted(depth.visible, 'message')} in lane "
        f"{address.channel}, and {counted(len(alive), 'worker')} with {counted(places, 'place')}"
    )
    if any(status.alive for status in alive):
        text += f", seen {_ago(alive[0].age)}"
    else:
        text += (
            f", idle and silent since {alive[0].seen_at.isoformat()} ({_ago(alive[0].age)}): if "
            "the job does not start within a minute, they are gone"
        )
    text += _alone(record)
    if failed is not None:
        text = f"{_cannot_start(failed)}. As last seen: {text}"
    return Reason(
        code=Why.QUEUED,
        text=text,
        details={
            "lane": address.channel,
            "visible": depth.visible,
            "hidden": depth.hidden,
            "delayed": depth.delayed,
            "workers": [status.name for status in alive],
            "places": places,
            "seen": alive[0].seen_at.isoformat(),
            **({} if failed is None else {"cannot_start": failed.cannot_start}),
        },
    )


def _alone(record: JobRecord) -> str:
    if not runs_alone(record):
        return ""
    return "; it has crashed before, so it runs alone, once its worker's other jobs have ended"


def _failed_start(seen: Iterable[WorkerStatus]) -> WorkerStatus | None:
    return next((status for status in seen if status.cannot_start is not None), None)


def _cannot_start(failed: WorkerStatus) -> str:
    return f"worker {failed.name} could not start {_ago(failed.age)}: {failed.cannot_start}"


def _no_worker(
    record: JobRecord, able: list[WorkerStatus], failed: WorkerStatus | None, *, others: int
) -> Reason:
    details: dict[str, Any] = {"task": record.task, "last_seen": None, "worker": None}
    text = f"no worker takes jobs of task {record.task!r}"
    if others:
        text += f", though queue {record.queue!r} has {counted(others, 'other live worker')}"
    if able:
        last = able[0]
        details |= {"last_seen": last.seen_at.isoformat(), "worker": last.name}
        text += f"; the last one, {last.name}, was seen at {details['last_seen']}"
        text += f" ({_ago(last.age)})"
        if last.draining and last.alive:
            text += ", about to stop: it takes no more jobs"
        elif last.shortage is not None and last.alive:
            details["shortage"] = last.shortage
            text += f", and takes none: {last.shortage}"
    else:
        text += f"; none was seen in {KEPT.days} days"
    note = record.errors[-1] if record.errors else None
    if note is not None and note.kind == NO_TASK:
        details["set_aside"] = _iso(note.at_ms)
        text += f"; {note.message}, and set aside at {details['set_aside']}: it is sent again daily"
    if failed is not None:
        details["cannot_start"] = failed.cannot_start
        text = f"{_cannot_start(failed)}. So {text}"
    return Reason(
        code=Why.NO_WORKER,
        text=f"{text}. Where workers are scaled to none, one takes minutes to start",
        details=details,
    )


def _ago(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if seconds < _MINUTES_FROM:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < _HOURS_FROM else f"{seconds // 3600} h ago"


def _error(failure: Failure) -> str:
    return f"{failure.kind}: {failure.message}"


def _iso(at_ms: int) -> str:
    return from_ms(at_ms).isoformat()
