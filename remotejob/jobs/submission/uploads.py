"""From an uploaded object to a job, once for each version however often its event comes."""

from __future__ import annotations

import logging
import mimetypes
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remotejob.domain.check_times import first_look
from remotejob.domain.errors import InvalidName, UnknownQueue
from remotejob.domain.events import Event
from remotejob.domain.ids import upload_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.name_rules import check_file_name
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.jobs.content.payloads import encode
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Installation, Updated
from remotejob.settings import Settings

log = logging.getLogger(__name__)

_UNNAMED: Final = "input"
_LATE: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """An object that was created, as its event tells."""

    bucket: str
    key: str
    """As it is, not url-encoded."""
    size: int
    etag: str | None
    version: str | None
    """None where the bucket keeps no versions."""
    sequencer: str | None
    at_ms: int
    """When it was created: the same in each delivery of the event."""

    @property
    def identity(self) -> str:
        """What tells this object from another of the same key."""
        return self.version or self.sequencer or self.etag or ""


def ingest(upload: Upload, settings: Settings, installation: Installation) -> JobRecord | None:
    """Make the job an upload stands for, or none: no route wants it, or its job was removed.

    The id follows from the upload, so the same event again meets the same record. The message is
    sent each time: the first delivery may have died between the two.

    Raises: UnknownQueue, when the routes name a queue that is not deployed.
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
        name=_file_name(upload.key),
        version=upload.version,
        etag=upload.etag,
        content_type=mimetypes.guess_type(upload.key)[0],
    )
    now = installation.clock.now_ms()
    # its day may lie below the sweep's watermark: then the scheduler looks after it
    late = upload.at_ms < now - span_ms(_LATE)
    mark_ms = first_look(now, now_ms=now, max_delay=installation.messages.capabilities.max_delay)
    record = JobRecord(
        id=job_id,
        state=State.WAITING if late else State.READY,
        due_ms=now if late else None,
        attention=attention_key(Attention.WAITING, job_id) if late else None,
        attention_ms=mark_ms if late else None,
        task=route.task,
        queue=route.queue,
        priority=route.priority,
        created_ms=now,
        updated_ms=now,
        data_json=encode(dict(route.data), what="the route's data") if route.data else None,
        input_json=file.to_json(),
    )
    outcome = installation.store.put_new(record)
    about = {"key": upload.key, "job": job_id, "queue": route.queue, "task": route.task}
    if outcome.record is None:
        log.info("upload's job was removed; it stays so", extra=about)
        return None
    new = isinstance(outcome, Updated)
    if new:
        installation.hooks.tell(Event.CREATED, outcome.record, installation)
    # as it was stored: the route may have changed between two deliveries
    send_for([outcome.record], installation)
    log.info("upload is a job" if new else "upload is a job already; sent again", extra=about)
    return outcome.record


def _file_name(key: str) -> str:
    # anything may stand in a key; a file name is opened on a worker's disk
    try:
        return check_file_name(key.rpartition("/")[2])
    except InvalidName:
        return _UNNAMED
