"""The workers of a queue as the container service sees them, and what was deployed for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Rollout(StrEnum):
    """How far the current deployment of a service is. Source: Amazon ECS API Reference,
    Deployment, rolloutState."""

    COMPLETED = "completed"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceEvent:
    """One line of a service's own log."""

    at_ms: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CapacityShare:
    """Where a part of a queue's workers run."""

    provider: str
    """The capacity provider, such as FARGATE or FARGATE_SPOT."""
    weight: int
    base: int = 0
    """Workers that run there before the weights apply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetStatus:
    """A queue's service now."""

    desired: int
    running: int
    pending: int
    """Workers that are starting."""
    failed_starts: int = 0
    """Workers of the current deployment that failed in a row, as the service counts them. It stops
    counting once one runs."""
    blocked: bool = False
    """Whether a deployment waits for old workers, which protect themselves while they are busy."""
    rollout: Rollout = Rollout.COMPLETED
    events: tuple[ServiceEvent, ...] = ()
    """The newest first, at most 100."""
    capacity: tuple[CapacityShare, ...] = ()
    """Where its new workers run; empty if unknown."""
    deployed_at_ms: int = 0
    """When its current deployment began: of an image, or of another capacity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedTask:
    """A worker that stopped within the last hour or so."""

    id: str
    at_ms: int
    reason: str
    """Why the service stopped it."""
    started_at_ms: int | None = None
    """When its container began to run; None if it never did."""
    code: str = ""
    """A kind of reason, such as TaskFailedToStart or SpotInterruption. Source: Amazon ECS API
    Reference, Task, stopCode."""
    exit_code: int | None = None
    """Of its container; None if it never ran."""
    container_reason: str | None = None
    """Further detail, such as OutOfMemoryError."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkersDescription:
    """What was deployed for a queue's workers, and how many there may be."""

    cluster: str
    """Name of the ECS cluster."""
    service: str
    """Name of the ECS service."""
    min_workers: int
    max_workers: int
    jobs_at_a_time: int
    """Jobs that one worker runs at a time."""
    idle: timedelta
    """How long a queue is without work before its last workers stop."""
    capacity: tuple[CapacityShare, ...]
