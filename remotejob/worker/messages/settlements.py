"""What becomes of a message once somebody has seen to it."""

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
    """Send another in its place, then delete it."""

    message: Received
    pending: Pending
    delay: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """It cannot be understood: move it aside."""

    message: Received
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Hide:
    """It is not its time yet; nothing makes it visible at once."""

    message: Received
    span: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """Another run owns the job: its message is none of ours to touch."""

    message: Received


Settlement = Conclude | Delete | Replace | DeadLetter | Hide | Leave
