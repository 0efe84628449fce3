"""The queue of a job that could run: whether it is served, and how long its lane is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.given_up import GIVEN_UP
from remotejob.domain.marks import Attention
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import counted
from remotejob.domain.times import span_ms, to_ms
from remotejob.domain.without_queue import fails_at_ms as fails_at_ms_of
from remotejob.jobs.coordination.queue_switch import stop_of
from remotejob.jobs.coordination.scaling_state import load_scaling
from remotejob.jobs.messaging.messages import pending_address
from remotejob.jobs.queries.budgets import pause_of
from remotejob.jobs.queries.why import crew as workers_of
from remotejob.jobs.queries.why.clocks import workers_clock
from remotejob.jobs.queries.why.crew import Crew
from remotejob.jobs.queries.why.ecs import (
    EcsLook,
    EcsView,
    Incident,
    incidents,
    of_incident,
    of_scaling,
    of_service,
)
from remotejob.jobs.queries.why.own_state import alone
from remotejob.jobs.queries.why.reasons import Reason, Why, ago, iso
from remotejob.jobs.queries.workers import workers
from remotejob.names import installed_version
from remotejob.ports import Depth, Installation

_SILENT_AFTER: Final = timedelta(minutes=3)
"""How long a mark may be overdue: the scheduler looks once a minute, at what is due within the
next."""

_TAKEN_WITHIN: Final = timedelta(minutes=5)
"""How long a message may take to reach a worker that waits for it, several redeliveries
included."""


def in_its_queue(record: JobRecord, installation: Installation, *, now_ms: int) -> Reason:
    """Why a job that could run has not been taken by a worker."""
    if record.queue not in installation.queues:
        return _without_queue(record)
    look = EcsLook(installation, record.queue)
    stopped = stop_of(record.queue, installation)
    if stopped is not None:
        return Reason(
            code=Why.STOPPED,
            text=f"queue {stopped.queue!r} is stopped since {stopped.since:%Y-%m-%dT%H:%M:%SZ}, by "
            f"{stopped.by}: nobody takes its jobs",
            remedy=f"start it: remotejob start {stopped.queue}",
            details={
                "queue": stopped.queue,
                "since": stopped.since.isoformat(),
                "by": stopped.by,
            },
        )
    paused = pause_of(installation.queues[record.queue], installation)
    if paused is not None:
        return Reason(
            code=Why.BUDGET,
            text=paused,
            remedy="wait until 00:00 UTC, or raise the daily budget and deploy",
            details={"queue": record.queue},
        )
    silent = _not_sent(record, now_ms=now_ms)
    if silent is not None:
        return silent
    seen, view = workers(installation, record.queue), look.view()
    crew = Crew.of(record.task, seen, view)
    reason = (
        _served(record, crew, installation, now_ms=now_ms)
        if crew.ready and not crew.failed_last
        else _not_served(record, crew, view, installation, now_ms=now_ms)
    )
    return replace(reason, unseen=view.unseen)


def _without_queue(record: JobRecord) -> Reason:
    fails_at_ms = fails_at_ms_of(record)
    fails_at = None if fails_at_ms is None else iso(fails_at_ms)
    text = f"its queue {record.queue!r} is not deployed"
    if fails_at is not None:
        text += f", and it fails at {fails_at} unless the queue is back"
    return Reason(
        code=Why.NO_QUEUE,
        text=text,
        remedy="deploy it, or cancel the job",
        details={"queue": record.queue, "fails_at": fails_at},
    )


def _not_sent(record: JobRecord, *, now_ms: int) -> Reason | None:
    """The reason that nobody has looked at the mark of a job that is due."""
    if record.state is not State.WAITING or record.attention_ms is None:
        return None
    kind = (record.attention or "").partition("#")[0]
    overdue_ms = now_ms - record.attention_ms
    if kind != Attention.WAITING or overdue_ms < span_ms(_SILENT_AFTER):
        return None
    since = iso(record.attention_ms)
    return Reason(
        code=Why.SCHEDULER_SILENT,
        text=f"it is due, and the scheduler has not looked at it since {since}, though it looks "
        "once a minute",
        remedy="check that the scheduler's rule is enabled, and read the function's log and "
        "errors: remotejob doctor; after a long outage it has much to do, so wait",
        details={"since": since},
    )


def _not_served(
    record: JobRecord, crew: Crew, view: EcsView, installation: Installation, *, now_ms: int
) -> Reason:
    """Why no worker takes the job."""
    recent = incidents(view, now_ms=now_ms)
    if crew.failed_last and not _something_else_since(crew, recent):
        return workers_of.cannot_start(crew)
    reason = workers_of.taking_none(crew)
    if reason is None and recent:
        reason = of_incident(recent[0], view, now_ms=now_ms)
    return (
        reason
        or workers_of.without_task(record, crew)
        or of_scaling(load_scaling(record.queue, installation))
        or of_service(view, queue=record.queue, now_ms=now_ms)
        or workers_of.nobody(record, crew)
    )


def _something_else_since(crew: Crew, recent: Sequence[Incident]) -> bool:
    """Whether ECS tells of another trouble than the start that failed last."""
    if not recent or crew.failed is None:
        return False
    last = recent[0]
    # of a failed start, ECS tells later than the worker itself, and with this exit code
    return last.trouble.code is not Why.CANNOT_START and last.at_ms > to_ms(crew.failed.seen_at)


def _served(record: JobRecord, crew: Crew, installation: Installation, *, now_ms: int) -> Reason:
    """Why workers that take jobs have not taken this one."""
    reason = (
        workers_clock(crew.ready, installation) or workers_of.in_trouble(crew) or _given_up(record)
    )
    if reason is not None:
        return reason
    address = pending_address(record, installation.queues)
    depth = installation.messages.depth(address)
    details: dict[str, Any] = {
        "lane": address.channel,
        "visible": depth.visible,
        "hidden": depth.hidden,
        "delayed": depth.delayed,
        "workers": [one.name for one in crew.ready],
        "places": sum(one.concurrency for one in crew.ready),
        "seen": crew.ready[0].seen_at.isoformat(),
    }
    return _not_received(record, crew, depth, details, now_ms=now_ms) or Reason(
        code=Why.QUEUED,
        text=f"it waits for its turn: about {counted(depth.visible, 'message')} in lane "
        f"{address.channel}, and {_places(crew)}{alone(record)}",
        remedy="wait, or raise the queue's `max_workers` or `concurrency` and deploy",
        details=details,
    )


def _given_up(record: JobRecord) -> Reason | None:
    """The reason that workers received the job's message again and again, and never claimed it."""
    note = record.errors[-1] if record.errors else None
    if note is None or note.kind != GIVEN_UP:
        return None
    return Reason(
        code=Why.GIVEN_UP,
        text=f"{note.message}, at {iso(note.at_ms)}",
        remedy="read the workers' log for this job: something ends them before they claim it; and "
        "see what is left of its messages: remotejob deadletters",
        details={"at": iso(note.at_ms), "times": record.given_up, "error": note.message},
    )


def _places(crew: Crew) -> str:
    places = sum(one.concurrency for one in crew.ready)
    last = crew.ready[0]
    text = f"{counted(len(crew.ready), 'worker')} with {counted(places, 'place')}"
    if any(one.alive for one in crew.ready):
        return f"{text}, seen {ago(last.age)}"
    return (
        f"{text}, idle and silent since {last.seen_at.isoformat()} ({ago(last.age)}): if the job "
        "does not start within a minute, they are gone"
    )


def _not_received(
    record: JobRecord, crew: Crew, depth: Depth, details: dict[str, Any], *, now_ms: int
) -> Reason | None:
    """The reason that workers have room, and the job's message does not come to them."""
    since_ms = max(record.created_ms, record.updated_ms, record.due_ms or 0)
    has_room = any(one.alive and len(one.running) < one.concurrency for one in crew.ready)
    if depth.visible or not has_room or now_ms - since_ms < span_ms(_TAKEN_WITHIN):
        return None
    versions = {one.version for one in crew.ready}
    if (depth.hidden or depth.delayed) and installed_version() not in versions:
        named = ", ".join(sorted(versions))
        return Reason(
            code=Why.VERSION,
            text=f"workers have room and leave its message alone: they have version {named} of "
            f"remotejob, and this program has {installed_version()}; a worker does not run what a "
            "newer version wrote in a form unknown to it",
            remedy="deploy the workers with this program's version",
            details={**details, "versions": sorted(versions), "version": installed_version()},
        )
    return Reason(
        code=Why.NO_MESSAGE,
        text=f"workers have room, and its message is not in lane {details['lane']}: it is hidden "
        f"or lost, since {iso(since_ms)}",
        remedy="wait: the sweep sends another within hours; to have one at once, pause and resume "
        "the job; look for it with: remotejob deadletters",
        details=details,
    )
