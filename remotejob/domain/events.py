"""The events that hooks receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """An event that a hook can be registered for."""

    CREATED = "created"
    """A job's record is stored."""
    STAGED = "staged"
    """A message for the job was sent; repeated for each message."""
    PROGRESS = "progress"
    """The task reported its progress. The record shows it only after the next heartbeat."""
    COMPLETED = "completed"
    COUNT_FAILED = "count_failed"
    """A run failed, or its worker died, and the job runs again."""
    FAILED = "failed"
    """The job failed for good."""
    CANCELLED = "cancelled"
    CALL = "call"
    """A command succeeded."""
    ERROR = "error"
    """A command was refused, or raised."""
    CHILD_RESTARTED = "child_restarted"
    """A worker's child process died and was replaced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandEvent:
    """A command on a job or a queue. Source: job-collection, `call` and `error`."""

    event: Event
    at: datetime
    command: str
    """Name of the method, such as `cancel`."""
    target: Any
    """The job or the queue it was called on."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Its arguments, by name."""
    result: Any = None
    """What it returned; for `call`."""
    error: Exception | None = None
    """What it raised; for `error`."""
