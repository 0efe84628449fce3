"""Makes jobs of uploaded objects: one per version, however often the event arrives."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.domain.argument_checks import check_text, check_whole
from remotejob.domain.check_times import first_look
from remotejob.domain.errors import UnknownQueue
from remotejob.domain.events import Event
from remotejob.domain.ids import upload_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.content.bodies import LARGEST_BODY
from remotejob.jobs.content.content_types import guess_content_type
from remotejob.jobs.content.input_files import file_name_of
from remotejob.jobs.content.payloads import encode
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.submission.route_rate import due_by_rate
from remotejob.ports import Installation, Updated
from remotejob.settings import Settings

log = logging.getLogger(__name__)

_LATE: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """An object that was created, as its event describes it."""

    bucket: str
    key: str
    """Decoded, not URL-encoded."""
    size: int
    etag: str | None
    version: str | None
    """None if the bucket keeps no versions."""
    sequencer: str | None
    at_ms: int
    """When it was created; the same in every delivery of the event."""

    def __post_init__(self) -> None:
        """Raises: InvalidData, when an event gives a field of another type, or no valid Unicode."""
        remedy = "an event of S3 has text here"
        for name in ("bucket", "key"):
            check_text(name, getattr(self, name), remedy=remedy)
        for name in ("etag", "version", "sequencer"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name), remedy=remedy)
        check_whole("size", self.size, least=0, most=LARGEST_BODY)

    @property
    def identity(self) -> str:
        """Tells this object from another with the same key."""
        return self.version or self.sequencer or self.etag or ""


def ingest(upload: Upload, settings: Settings, installation: Installation) -> JobRecord | None:
    """Make the job for an upload; None when no route matches or its job was removed.

    The id is derived from the upload, so a repeated event finds the same record. Each delivery
    sends the message, because an earlier one may have died after storing the record.

    Raises: UnknownQueue, when a route names a queue that is not deployed; StoreUnavailable.
    """
    route = settings.route_for(upload.key)
    if route is None:
        log.info("no route for this upload: no job", extra={"key": upload.key})
        return None
    if route.queue not in installation.queues:
        raise UnknownQueue(route.queue, known=installation.queues)
    job_id = upload_job_id(
        upload.at_ms, bucket=upload.bucket, key=upload.key, version=upload.identity
    )
    file = InputFile(
        bucket=upload.bucket,
        key=upload.key,
        size=upload.size,
        name=file_name_of(upload.key),
        version=upload.version,
        etag=upload.etag,
        content_type=guess_content_type(upload.key),
    )
    now = installation.clock.now_ms()
    tenant = route.tenant_of(upload.key)
    due = due_by_rate(route, tenant, installation, now_ms=now)
    # its day may lie before the sweep's watermark: then the scheduler looks after it
    waits = due > now or upload.at_ms < now - span_ms(_LATE)
    mark_ms = first_look(due, now_ms=now, max_delay=installation.messages.capabilities.max_delay)
    within = None if route.expires_seconds is None else route.expires_seconds * 1000
    record = JobRecord(
        id=job_id,
        state=State.WAITING if waits else State.READY,
        due_ms=due if waits else None,
        attention=attention_key(Attention.WAITING, job_id) if waits else None,
        attention_ms=mark_ms if waits else None,
        task=route.task,
        queue=route.queue,
        priority=route.priority,
        created_ms=now,
        updated_ms=now,
        tenant=tenant,
        tenant_limit=None if tenant is None else installation.queues[route.queue].tenant_limit,
        data_json=encode(dict(route.data), what="the route's data") if route.data else None,
        input_json=file.to_json(),
        start_by_ms=None if within is None else max(due, now) + within,
        start_in_ms=within,
    )
    outcome = installation.store.put_new(record)
    about = {"key": upload.key, "job": job_id, "queue": route.queue, "task": route.task}
    if outcome.record is None:
        log.info("upload's job was removed; no new one is made", extra=about)
        return None
    new = isinstance(outcome, Updated)
    if new:
        installation.hooks.tell(Event.CREATED, outcome.record, installation)
    # use the stored record: the route may have changed between two deliveries
    send_for([outcome.record], installation)
    log.info(
        "job made of upload" if new else "upload has a job already; message sent again", extra=about
    )
    return outcome.record
