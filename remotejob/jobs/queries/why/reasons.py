"""The answers of `why`: a code, a sentence, the remedy and the facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from remotejob.domain.times import from_ms

_MINUTES_FROM: Final = 180
_HOURS_FROM: Final = 3 * 3600
"""Seconds from which an age is told in minutes, and in hours."""


class Why(StrEnum):
    """Why a job is not running, or that it runs."""

    # --- the job itself
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
    RETRY = "retry"
    """A run failed, and the retry is not due yet."""
    DUE = "due"
    """It is not due yet."""
    TOO_LATE = "too_late"
    """Its last time to begin is over, and it has not been failed for that yet."""
    RESOURCE = "resource"
    """Another job holds its resource."""
    TENANT = "tenant"
    """Its tenant has as many jobs running as allowed."""

    # --- its queue
    NO_QUEUE = "no_queue"
    """Its queue is not deployed."""
    STOPPED = "stopped"
    """Its queue is stopped, until somebody starts it again."""
    BUDGET = "budget"
    """Its queue has spent its daily budget, and is paused until 00:00 UTC."""
    SCHEDULER_SILENT = "scheduler_silent"
    """It is due, and the scheduler, which sends what becomes due, has not looked for minutes."""
    NO_MESSAGE = "no_message"
    """Workers wait for messages, and the job's own message is not in its lane."""
    GIVEN_UP = "given_up"
    """Its message went to the dead-letter queue, and another one was sent."""
    QUEUED = "queued"
    """It only waits for its turn."""
    CLOCK_SKEW = "clock_skew"
    """The clock of this machine, or of a worker, is wrong."""
    THROTTLED = "throttled"
    """DynamoDB refuses requests to the table because there are too many."""
    WORKER_TROUBLE = "worker_trouble"
    """Its workers live, and their requests to AWS fail."""

    # --- its workers
    NO_WORKER = "no_worker"
    """No live worker that takes jobs can run it."""
    NO_TASK = "no_task"
    """Workers live, and none of them has its task."""
    DRAINING = "draining"
    """The only workers that could run it are about to stop."""
    DENIED = "denied"
    """A worker's role does not allow what the worker needs to take jobs."""
    DISK_FULL = "disk_full"
    """Its workers take no jobs, because their disks are full."""
    SHORT = "short"
    """Its workers take no jobs, because something else that they need is short."""
    CANNOT_START = "cannot_start"
    """A worker could not start, such as for a tasks module that cannot be imported."""
    CRASHED = "crashed"
    """Workers end by themselves, with an exit code that nobody asked for."""
    OUT_OF_MEMORY = "out_of_memory"
    """Workers are killed because they need more memory than they have."""
    UNHEALTHY = "unhealthy"
    """ECS stopped workers that failed their health check."""
    VERSION = "version"
    """Its workers have another version of this library, and do not take its message."""

    # --- ECS
    WAKING = "waking"
    """Its queue's workers are scaled to none; the scheduler starts one within a minute."""
    STARTING = "starting"
    """A worker is starting."""
    NO_SIGN = "no_sign"
    """ECS runs workers, and none of them has written a sign of life."""
    GAVE_UP = "gave_up"
    """Starts failed so often that the scheduler starts no more workers."""
    DEPLOYMENT_BLOCKED = "deployment_blocked"
    """A deployment waits for workers that are protected because they run jobs."""
    DEPLOYMENT_FAILED = "deployment_failed"
    NO_SERVICE = "no_service"
    """Its queue has no ECS service: the workers' stack is not deployed."""
    IMAGE_PULL = "image_pull"
    ARCHITECTURE = "architecture"
    """The image is for another kind of CPU than the workers'."""
    SECRET = "secret"
    """A secret of the workers cannot be read."""
    ROLE = "role"
    """ECS may not use a role that it needs to start workers."""
    LOGS = "logs"
    """The workers' log group does not exist, or may not be written to."""
    NETWORK = "network"
    """The workers' network does not reach AWS, or cannot be set up."""
    NO_CAPACITY = "no_capacity"
    """AWS has no machine free, such as no Spot capacity."""
    QUOTA = "quota"
    """The account's quota of vCPUs or tasks is used up."""
    NO_ADDRESSES = "no_addresses"
    """The workers' subnets have no free IP address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a job does not run."""

    code: Why
    text: str
    """A sentence for people."""
    remedy: str = ""
    """What to do about it; empty if there is nothing to do but wait."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The facts in the sentence, for JSON: ids, counts, times in ISO 8601."""
    unseen: tuple[str, ...] = ()
    """What could not be looked at, and why: the cause may lie there."""

    def __str__(self) -> str:
        return self.text


def ago(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    if seconds < _MINUTES_FROM:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < _HOURS_FROM else f"{seconds // 3600} h ago"


def iso(at_ms: int) -> str:
    return from_ms(at_ms).isoformat()
