"""The workers of a queue, by their signs of life and by what ECS knows: which could run a job, and
why the others do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.claim_decisions import NO_TASK
from remotejob.domain.record import JobRecord
from remotejob.domain.text import counted
from remotejob.domain.times import to_ms
from remotejob.jobs.queries.why.ecs import EcsView, is_dead
from remotejob.jobs.queries.why.reasons import Reason, Why, ago, iso
from remotejob.jobs.queries.workers import DISK, KEPT, WorkerStatus
from remotejob.names import SMOKE_TASK

THROTTLED: Final = re.compile(
    "throttl|ProvisionedThroughputExceeded|RequestLimitExceeded", re.IGNORECASE
)
"""How AWS says that there are too many requests.
Source: Amazon DynamoDB Developer Guide, "Error handling with DynamoDB"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crew:
    """The workers of a queue, most recently seen first, as one job meets them."""

    able: tuple[WorkerStatus, ...]
    """Those with its task, dead ones included."""
    ready: tuple[WorkerStatus, ...]
    """Of these, those that take jobs."""
    dead: frozenset[str]
    """Names of the workers whose signs look alive, and which ECS says have ended."""
    others: int
    """Workers that take jobs, but not of its task."""
    failed: WorkerStatus | None
    """The last that could not start."""

    @classmethod
    def of(cls, task: str, seen: Sequence[WorkerStatus], view: EcsView) -> Crew:
        able = tuple(one for one in seen if task in (*one.abilities, SMOKE_TASK))
        dead = frozenset(
            one.name for one in seen if is_dead(one.ecs_task, to_ms(one.seen_at), view)
        )
        taking = [one for one in seen if one.takes_jobs and one.name not in dead]
        ready = tuple(one for one in able if one in taking)
        return cls(
            able=able,
            ready=ready,
            dead=dead,
            others=sum(one.takes_jobs and one not in able for one in taking),
            failed=next((one for one in seen if one.cannot_start is not None), None),
        )

    @property
    def failed_last(self) -> bool:
        """Whether a worker could not start, and no other one gave a sign since."""
        return self.failed is not None and all(
            one.seen_at <= self.failed.seen_at for one in self.ready
        )


def in_trouble(crew: Crew) -> Reason | None:
    """The reason that every worker that could run the job meets errors."""
    if not crew.ready or any(one.trouble is None for one in crew.ready):
        return None
    worker = crew.ready[0]
    said = str(worker.trouble)
    details = {"worker": worker.name, "trouble": said}
    if THROTTLED.search(said):
        return throttled(f"worker {worker.name} {said}", details)
    return Reason(
        code=Why.WORKER_TROUBLE,
        text=f"worker {worker.name}, seen {ago(worker.age)}, {said}",
        remedy="read the worker's log; if AWS has an outage, wait: it tries again",
        details=details,
    )


def throttled(what: str, details: dict[str, Any]) -> Reason:
    return Reason(
        code=Why.THROTTLED,
        text=f"DynamoDB throttles the table: {what}",
        remedy="wait, and submit more slowly: an on-demand table grows with its load; for a burst "
        "at once, set its warm throughput, and look for a maximum of the table or the account",
        details=details,
    )


def cannot_start(crew: Crew) -> Reason:
    """The reason that the last worker could not start."""
    failed = crew.failed
    assert failed is not None
    text = f"worker {failed.name} could not start {ago(failed.age)}: {failed.cannot_start}"
    if crew.ready:
        last = crew.ready[0]
        text += f". Worker {last.name}, which could, was last seen {ago(last.age)}"
    return Reason(
        code=Why.CANNOT_START,
        text=text,
        remedy="mend what it says, and deploy the workers again",
        details={
            "worker": failed.name,
            "cannot_start": failed.cannot_start,
            "version": failed.version,
            "at": failed.seen_at.isoformat(),
            "workers": [one.name for one in crew.ready],
        },
    )


def taking_none(crew: Crew) -> Reason | None:
    """The reason that the workers with the job's task take no jobs now."""
    alive = [one for one in crew.able if one.alive and one.name not in crew.dead]
    if not alive:
        return None
    last = alive[0]
    details: dict[str, Any] = {"worker": last.name, "last_seen": last.seen_at.isoformat()}
    if last.draining:
        return Reason(
            code=Why.DRAINING,
            text=f"worker {last.name}, seen {ago(last.age)}, is about to stop: it takes no more "
            "jobs",
            remedy="wait: the scheduler starts another one within a minute if jobs wait",
            details=details,
        )
    if last.shortage is None:
        return None
    details["shortage"] = last.shortage
    code, remedy = Why.SHORT, "mend what it says; it looks again by itself"
    if DISK in last.short_of:
        code, remedy = (
            Why.DISK_FULL,
            "give workers a larger disk (`ephemeral_storage_gib`) and deploy",
        )
    elif "allow" in last.shortage:
        code = Why.DENIED
        remedy = "deploy the workers stack again to restore its role's policy; if it stays, look "
        remedy += "for a policy of the organization, the queue or its key that denies it"
    return Reason(
        code=code,
        text=f"worker {last.name}, seen {ago(last.age)}, takes no jobs: {last.shortage}",
        remedy=remedy,
        details=details,
    )


def without_task(record: JobRecord, crew: Crew) -> Reason | None:
    """The reason that workers live, and none has the job's task."""
    if not crew.others:
        return None
    return Reason(
        code=Why.NO_TASK,
        text=f"no worker takes jobs of task {record.task!r}, though queue {record.queue!r} has "
        f"{counted(crew.others, 'other live worker')}{_last(crew)}{_set_aside(record)}",
        remedy=f"name {record.task!r} in the tasks of the queue, or in the workers' abilities, and "
        "deploy; or cancel the job",
        details={"task": record.task, "others": crew.others, **_last_seen(crew)},
    )


def nobody(record: JobRecord, crew: Crew) -> Reason:
    """The reason that no worker is known to live."""
    return Reason(
        code=Why.NO_WORKER,
        text=f"no worker takes jobs of task {record.task!r}{_last(crew)}{_set_aside(record)}",
        remedy="deploy the workers stack, or start a worker; where workers are scaled to none, one "
        "takes about two minutes",
        details={"task": record.task, **_last_seen(crew)},
    )


def _last(crew: Crew) -> str:
    if not crew.able:
        return f"; none was seen in {KEPT.days} days"
    last = crew.able[0]
    ended = ", and ECS has ended it since" if last.name in crew.dead else ""
    at = last.seen_at.isoformat()
    return f"; the last one, {last.name}, was seen at {at} ({ago(last.age)}){ended}"


def _last_seen(crew: Crew) -> dict[str, Any]:
    if not crew.able:
        return {"last_seen": None, "worker": None}
    return {"last_seen": crew.able[0].seen_at.isoformat(), "worker": crew.able[0].name}


def _set_aside(record: JobRecord) -> str:
    note = record.errors[-1] if record.errors else None
    if note is None or note.kind != NO_TASK:
        return ""
    return f"; {note.message}, and set aside at {iso(note.at_ms)}: it is sent again daily"
