"""What ECS says of a queue's service: what keeps workers from starting, or ended them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.fleet import FleetStatus, Rollout, StoppedTask
from remotejob.domain.scaling import MOST_FAILED_STARTS
from remotejob.domain.text import cut, said_by
from remotejob.domain.times import span_ms
from remotejob.jobs.coordination.scaling_state import ScalingNote
from remotejob.jobs.queries.why.ecs_messages import EcsTrouble, trouble_in, trouble_of
from remotejob.jobs.queries.why.reasons import Reason, Why, ago, iso
from remotejob.ports import Installation

PATIENCE: Final = timedelta(seconds=1.5)
"""How long to wait for ECS, next to the other reads: an answer without it is better than none."""

RECENT: Final = timedelta(minutes=15)
"""Older troubles are over: ECS tries again at least every few minutes, and says so."""

_STARTS_WITHIN: Final = timedelta(minutes=2)
"""How long a started task may take until its worker writes the first sign of life."""

_LONGEST: Final = 300
_STARTED: Final = "has started"


@dataclass(frozen=True, kw_only=True, slots=True)
class EcsView:
    """A queue's service, as far as these credentials may see it."""

    deployed: bool = False
    """Whether workers were deployed for the queue."""
    status: FleetStatus | None = None
    stopped: tuple[StoppedTask, ...] = ()
    """The newest first."""
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """A trouble, and when ECS told of it."""

    at_ms: int
    said: str
    trouble: EcsTrouble = field(compare=False)


class EcsLook:
    """Reads a queue's service on a thread of its own, so that a hung request holds up nothing."""

    def __init__(self, installation: Installation, queue: str) -> None:
        self._installation = installation
        self._queue = queue
        self._view = EcsView(unseen=(f"ECS did not answer within {PATIENCE.total_seconds():g} s",))
        self._thread = threading.Thread(target=self._look, name="why-ecs", daemon=True)
        self._thread.start()

    def view(self) -> EcsView:
        """What was seen in time."""
        self._thread.join(PATIENCE.total_seconds())
        return self._view

    def _look(self) -> None:
        fleet = self._installation.fleet
        try:
            deployed = fleet.describe(self._queue) is not None
            status = fleet.status(self._queue) if deployed else None
            stopped = fleet.stopped(self._queue) if status is not None else ()
            self._view = EcsView(deployed=deployed, status=status, stopped=stopped)
        except Exception as problem:  # noqa: BLE001 (the rest is said without)
            self._view = EcsView(
                unseen=(f"ECS cannot be asked: {cut(said_by(problem), _LONGEST)}",)
            )


def incidents(view: EcsView, *, now_ms: int) -> list[Incident]:
    """The troubles of the last minutes, the newest first."""
    found = [*_of_stopped(view.stopped), *_of_events(view.status)]
    recent = [one for one in found if one.at_ms >= now_ms - span_ms(RECENT)]
    return sorted(recent, key=lambda one: one.at_ms, reverse=True)


def _of_stopped(stopped: tuple[StoppedTask, ...]) -> Iterator[Incident]:
    for task in stopped:
        trouble = trouble_of(task)
        if trouble is not None:
            said = ": ".join(part for part in (task.reason, task.container_reason) if part)
            yield Incident(at_ms=task.at_ms, said=said, trouble=trouble)


def _of_events(status: FleetStatus | None) -> Iterator[Incident]:
    """The troubles in a service's events since the last task started."""
    for event in () if status is None else status.events:
        if _STARTED in event.text:
            return
        trouble = trouble_in(event.text)
        if trouble is not None:
            yield Incident(at_ms=event.at_ms, said=event.text, trouble=trouble)


def of_incident(incident: Incident, view: EcsView, *, now_ms: int) -> Reason:
    age = timedelta(milliseconds=max(0, now_ms - incident.at_ms))
    return Reason(
        code=incident.trouble.code,
        text=f"no worker runs: {incident.trouble.meaning}; ECS said {ago(age)}: "
        f"{cut(incident.said, _LONGEST)}",
        remedy=incident.trouble.remedy,
        details={"at": iso(incident.at_ms), "ecs": cut(incident.said, _LONGEST), **_counts(view)},
    )


def of_scaling(note: ScalingNote | None) -> Reason | None:
    """The reason that the scheduler starts no more workers, because starts failed.

    It needs no right to see ECS, because the scheduler noted what it saw.
    """
    if note is None or note.state.failing_since_ms is None:
        return None
    since = iso(note.state.failing_since_ms)
    known = trouble_in(note.last_failure)
    said = f": {note.last_failure}" if note.last_failure else ""
    return Reason(
        code=Why.GAVE_UP if known is None else known.code,
        text=f"starts of workers have failed since {since}, so the scheduler tries no more than "
        f"one at a time; the last failure{said or ' is not known'}",
        remedy="mend what it says, and deploy: the scheduler goes on once a worker runs well"
        if known is None
        else known.remedy,
        details={
            "since": since,
            "failed_starts": note.failed_starts,
            "most": MOST_FAILED_STARTS,
            "last_failure": note.last_failure,
        },
    )


def of_service(view: EcsView, *, queue: str, now_ms: int) -> Reason | None:
    """What the service's own state says, if it has no worker that has given a sign."""
    if view.deployed and view.status is None and not view.unseen:
        return Reason(
            code=Why.NO_SERVICE,
            text=f"the ECS service of queue {queue!r} does not exist any more",
            remedy="deploy the workers stack",
            details={"queue": queue},
        )
    status = view.status
    if status is None:
        return None
    if status.blocked:
        return Reason(
            code=Why.DEPLOYMENT_BLOCKED,
            text="a deployment waits for workers that are protected because they run jobs",
            remedy="wait until their jobs have ended, or cancel these; CloudFormation waits at "
            "most three hours",
            details=_counts(view),
        )
    if status.rollout is Rollout.FAILED:
        return Reason(
            code=Why.DEPLOYMENT_FAILED,
            text="the last deployment of the workers failed: its workers did not stay up",
            remedy="read the log of a worker that stopped, mend the image or the settings, and "
            "deploy again",
            details=_counts(view),
        )
    if status.desired == 0:
        return Reason(
            code=Why.WAKING,
            text="no worker runs: the queue's workers are scaled to none",
            remedy="wait: the scheduler starts one within a minute, and Fargate takes about "
            "another one",
            details=_counts(view),
        )
    if status.running == 0 or _just_started(status, now_ms):
        return Reason(
            code=Why.STARTING,
            text=f"a worker is starting: ECS wants {status.desired}, and {status.running} "
            f"{'runs' if status.running == 1 else 'run'}",
            remedy="wait a minute; if none comes, read the service's events in ECS",
            details=_counts(view),
        )
    return Reason(
        code=Why.NO_SIGN,
        text=f"ECS runs {status.running} of the queue's workers, and none has written a sign of "
        "life",
        remedy="read the worker's log: its role may not allow the table, or its network not reach "
        "DynamoDB",
        details=_counts(view),
    )


def _just_started(status: FleetStatus, now_ms: int) -> bool:
    return any(
        _STARTED in event.text and event.at_ms >= now_ms - span_ms(_STARTS_WITHIN)
        for event in status.events
    )


def _counts(view: EcsView) -> dict[str, Any]:
    if view.status is None:
        return {}
    return {
        "desired": view.status.desired,
        "running": view.status.running,
        "pending": view.status.pending,
        "failed_starts": view.status.failed_starts,
    }


def is_dead(ecs_task: str | None, seen_ms: int, view: EcsView) -> bool:
    """Whether ECS knows that a worker, which gave its last sign then, has ended.

    Without its task's id, it has certainly ended only if no task runs and one has stopped since.
    """
    if ecs_task is not None:
        return any(task.id == ecs_task for task in view.stopped)
    none_runs = view.status is not None and view.status.running == 0
    return none_runs and any(task.at_ms > seen_ms for task in view.stopped)
