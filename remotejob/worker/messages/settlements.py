"""What to do with a message after handling its job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from remotejob.domain.record import JobRecord
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import Received


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclude:
    """The job has ended: carry out the consequences, then delete the message."""

    message: Received
    record: JobRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Nothing is left to do under this message."""

    message: Received


@dataclass(frozen=True, kw_only=True, slots=True)
class Replace:
    """Send another message in its place, then delete it."""

    message: Received
    pending: Pending
    delay: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """Move it to the dead-letter queue: it cannot be understood."""

    message: Received
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hide:
    """Keep it hidden for that long; 0 makes it visible at once."""

    message: Received
    span: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAlone(Hide):
    """Its job runs only where nothing else does: handle it again once that is so, or hide it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """Do nothing: another run owns the job, and handles its message."""

    message: Received


Settlement = Conclude | Delete | Replace | DeadLetter | Hide | Leave
