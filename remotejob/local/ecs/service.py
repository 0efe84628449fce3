"""What a service, its deployments and its tasks are."""

from __future__ import annotations

import secrets
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

_EVENTS: Final = 100
"""The number that DescribeServices returns."""


class Process(Protocol):
    """A task's process."""

    @property
    def log(self) -> Path: ...

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    def send(self, which: int) -> None:
        """Send a signal to its first process; SIGKILL goes to all its processes."""


class Status(StrEnum):
    """A task's last status. Source: ECS Developer Guide, "Amazon ECS task lifecycle"."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


class StopCode(StrEnum):
    """Why a task was stopped. Source: ECS API Reference, "Task"."""

    FAILED_TO_START = "TaskFailedToStart"
    CONTAINER_EXITED = "EssentialContainerExited"
    SCHEDULER = "ServiceSchedulerInitiated"
    USER = "UserInitiated"
    SPOT = "SpotInterruption"


class Rollout(StrEnum):
    """How far a deployment is. Source: ECS API Reference, "Deployment"."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A capacity provider's share of a service's tasks."""

    name: str
    weight: int = 1
    base: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """What a service was created with, or updated to."""

    task_definition: str
    providers: tuple[Provider, ...] = (Provider(name="FARGATE"),)
    min_healthy_percent: int = 100
    max_percent: int = 200
    breaks: bool = False
    """Whether the deployment circuit breaker is on."""
    rolls_back: bool = False


@dataclass(kw_only=True, eq=False)
class Task:
    """One task: planned, running, or stopped."""

    arn: str
    deployment: Deployment
    provider: str
    created_at: datetime
    id: str
    agent_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    status: Status = Status.PENDING
    is_wanted: bool = True
    """Its desired status: RUNNING, or else STOPPED."""
    process: Process | None = None
    log: Path | None = None
    running_since: float | None = None
    """On the monotonic clock, as the other floats are."""
    has_settled: bool = False
    """Whether it has lived long enough to count as started."""
    hurry_at: float | None = None
    kill_at: float | None = None
    protected_until: float | None = None
    protection_ends: datetime | None = None
    started_at: datetime | None = None
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: StopCode | None = None
    reason: str = ""
    exit_code: int | None = None
    container_reason: str = ""

    def is_protected(self, now: float) -> bool:
        return self.protected_until is not None and now < self.protected_until


@dataclass(kw_only=True, eq=False)
class Deployment:
    """One version of a service, which its tasks belong to."""

    configuration: Configuration
    created_at: datetime
    updated_at: datetime
    id: str = field(default_factory=lambda: f"ecs-svc/{uuid.uuid4().int % 10**19}")
    rollout: Rollout = Rollout.IN_PROGRESS
    rollout_reason: str = ""
    failed_tasks: int = 0
    has_started: bool = False
    """Whether one of its tasks has settled: then failures do not count any more."""

    def __post_init__(self) -> None:
        self.rollout_reason = f"ECS deployment {self.id} in progress."


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """An entry of a service's event log."""

    id: str
    at: datetime
    message: str


@dataclass(kw_only=True)
class Service:
    """A service as its scheduler sees it. `deployments` begins with the primary one."""

    arn: str
    name: str
    cluster: str
    region: str
    account: str
    desired: int
    deployments: list[Deployment]
    tasks: list[Task] = field(default_factory=list)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    """The newest first."""
    is_deleted: bool = False
    completed: Configuration | None = None
    """Of the last deployment that completed: what a rollback goes back to."""
    failures: int = 0
    """Starts that failed in a row."""
    start_at: float = 0.0
    """No task is started before."""
    is_blocked: bool = False
    """Whether protected tasks keep the deployment from its end."""
    is_steady: bool = False

    @property
    def primary(self) -> Deployment:
        return self.deployments[0]

    def live(self, deployment: Deployment | None = None) -> list[Task]:
        """Its tasks that are to run, the oldest first; of one deployment, or of all."""
        return [
            task for task in self.tasks if task.is_wanted and deployment in (None, task.deployment)
        ]

    def count(self, status: Status, deployment: Deployment | None = None) -> int:
        """How many of its live tasks have this status."""
        return sum(task.status is status for task in self.live(deployment))

    def unfinished(self) -> Iterator[Task]:
        """Its tasks that have not stopped."""
        return (task for task in self.tasks if task.status is not Status.STOPPED)

    def say(self, message: str, at: datetime) -> None:
        """Add an event, unless the last one says the same."""
        text = f"(service {self.name}) {message}"
        if not self.events or self.events[0].message != text:
            self.events.appendleft(Event(id=str(uuid.uuid4()), at=at, message=text))
