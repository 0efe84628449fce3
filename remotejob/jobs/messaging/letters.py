"""Letters as people see them: the messages in dead-letter queues, and what each is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from remotejob.domain.ids import is_job_id, upload_job_id
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, to_ms
from remotejob.jobs.messaging.dead_letters import PendingLetter, SetAside, json_or_none
from remotejob.ports import Address, Channel, Installation, Received, upload_address


class LetterKind(StrEnum):
    """What a letter is."""

    PENDING = "pending"
    """The message that brings a worker to a job."""
    STATUS = "status"
    """The message that a job has ended."""
    UPLOADS = "uploads"
    """The event of an upload, which becomes a job."""


ORIGINS: Final = {
    Channel.COMPLETED_DEAD_LETTER: Channel.COMPLETED,
    Channel.FAILED_DEAD_LETTER: Channel.FAILED,
    Channel.UPLOADS_DEAD_LETTER: Channel.UPLOADS,
    Channel.UPLOADS_UNDELIVERED: Channel.UPLOADS,
}
"""Where the letters go that are no pending messages, if they are sent again."""

_WHY: Final = {
    Channel.COMPLETED_DEAD_LETTER: "its reader failed to handle it",
    Channel.FAILED_DEAD_LETTER: "its reader failed to handle it",
    Channel.UPLOADS_DEAD_LETTER: "the upload function failed; its log says why",
    Channel.UPLOADS_UNDELIVERED: "EventBridge could not send it to the uploads queue",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A message in a dead-letter queue."""

    id: str
    """The message's id in its queue."""
    kind: LetterKind
    queue: str | None
    """None for an upload, which has no queue yet."""
    channel: Channel
    """The dead-letter queue it lies in."""
    sent_at: datetime
    """When it was sent; if SQS moved it, when it was sent to its first queue."""
    receives: int
    """How often it was received. Each look at it counts."""
    reason: str
    """Why it is here."""
    body: str
    """The message as it was; cut, if it was very long."""
    job_id: str | None = None
    """The job it is about; of an upload, the one that is, or would be, made of it."""
    state: State | None = None
    """The job's state; None if there is no such job, or none that can be read."""
    file: str | None = None
    """The upload, as s3://bucket/key."""


def addresses(
    installation: Installation, *, queue: str | None = None, kind: LetterKind | None = None
) -> list[Address]:
    """The dead-letter queues: of one queue, or of one kind, or all."""
    channels: list[Channel] = []
    if kind in (None, LetterKind.PENDING):
        channels.append(Channel.DEAD_LETTER)
    if kind in (None, LetterKind.STATUS):
        channels += [Channel.COMPLETED_DEAD_LETTER, Channel.FAILED_DEAD_LETTER]
    names: Iterable[str] = installation.queues if queue is None else [queue]
    found = [Address(name, channel) for name in names for channel in channels]
    if queue is None and kind in (None, LetterKind.UPLOADS):
        found.append(upload_address(Channel.UPLOADS_DEAD_LETTER))
        found.append(upload_address(Channel.UPLOADS_UNDELIVERED))
    return found


def letter_of(message: Received) -> Letter:
    """What a message in a dead-letter queue is about, by itself."""
    channel = message.address.channel
    common: dict[str, Any] = {
        "id": message.id,
        "channel": channel,
        "sent_at": from_ms(message.sent_ms),
        "receives": message.receives,
    }
    if channel is Channel.DEAD_LETTER:
        read = PendingLetter.read(message.body)
        return Letter(
            kind=LetterKind.PENDING,
            queue=message.address.queue,
            reason=read.reason,
            body=read.body,
            job_id=None if read.pending is None else read.pending.job_id,
            **common,
        )
    said = SetAside.read(message.body)
    body, reason = message.body, _WHY[channel]
    if said is not None and said.origin == ORIGINS[channel]:
        body, reason = said.body, said.reason
    if ORIGINS[channel] is Channel.UPLOADS:
        file, job_id = _upload(body)
        return Letter(
            kind=LetterKind.UPLOADS,
            queue=None,
            reason=reason,
            body=body,
            job_id=job_id,
            file=file,
            **common,
        )
    return Letter(
        kind=LetterKind.STATUS,
        queue=message.address.queue,
        reason=reason,
        body=body,
        job_id=_job_of_status(body),
        **common,
    )


def _job_of_status(body: str) -> str | None:
    match json_or_none(body):
        case {"id": str(job_id)} if is_job_id(job_id):
            return job_id
    return None


def _upload(body: str) -> tuple[str | None, str | None]:
    """The file and the job of an upload's event, as far as it is one of EventBridge.

    Source: Amazon S3 User Guide, "EventBridge event message structure".
    """
    match json_or_none(body):
        case {
            "time": str(at),
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)} as file},
        }:
            identity = file.get("version-id") or file.get("sequencer") or file.get("etag") or ""
            try:
                at_ms = to_ms(datetime.fromisoformat(at))
                job_id = upload_job_id(at_ms, bucket=bucket, key=key, version=str(identity))
            except (ValueError, OverflowError):
                return f"s3://{bucket}/{key}", None
            return f"s3://{bucket}/{key}", job_id
    return None, None
