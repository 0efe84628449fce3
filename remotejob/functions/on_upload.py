"""Lambda: makes a job of each upload that arrives on the uploads queue."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes import (
    S3Event,
    S3EventBridgeNotificationEvent,
)
from aws_lambda_powertools.utilities.data_classes.s3_event import S3EventRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from remotejob.backends.aws import from_environment
from remotejob.domain.states import State
from remotejob.domain.text import cut
from remotejob.domain.times import to_ms
from remotejob.functions.logs import new_logger, share_logger
from remotejob.functions.nudge import Nudge
from remotejob.jobs.messaging.dead_letters import LONGEST_BODY
from remotejob.jobs.messaging.messages import dead_letter_body
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.names import UPLOAD_RECEIVES, Env
from remotejob.ports import Channel, Installation, Outgoing, upload_address
from remotejob.settings import DEFAULT_FILE, Settings, load

logger = new_logger("on_upload")
share_logger(logger)
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


_LONGEST_REASON = 1000


class UnknownEvent(ValueError):
    """A message on the uploads queue that reports no upload."""


@cache
def _set_up() -> tuple[Settings, Installation, Nudge]:
    """Run once per function instance; not at import, because tests set the environment later."""
    root = Path(os.environ.get("LAMBDA_TASK_ROOT", "."))
    settings = load(os.environ.get(Env.SETTINGS, root / DEFAULT_FILE))
    installation = replace(from_environment(), actor="on_upload")
    idle = {
        name: timedelta(minutes=queue.idle_minutes)
        for name, queue in settings.queues.items()
        # the others have workers elsewhere, which nothing wakes
        if queue.max_workers
    }
    return settings, installation, Nudge(idle, clock=installation.clock)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Make a job of each upload in a batch; report only the messages that failed."""
    served: list[str] = []
    response = process_partial_response(
        event=event,
        record_handler=partial(_on_message, served=served),
        processor=processor,
        context=context,
    )
    if served:
        _set_up()[2].served(served)
    return response


def _on_message(record: SQSRecord, *, served: list[str]) -> None:
    """Make a job of each upload that a message reports, even if others of it fail.

    It adds the queues whose workers have something to do now to `served`. A message that fails for
    the last time is set aside with the reason.

    Raises: the first problem, after trying them all. The message comes back, and finds the jobs
    that were made.
    """
    settings, installation, _ = _set_up()
    problems: list[Exception] = []
    uploads = uploads_in(record.body)
    while True:
        try:
            upload = next(uploads, None)
            if upload is None:
                break
            made = ingest(upload, settings, installation)
            if made is not None and made.state is State.READY:
                served.append(made.queue)
        except Exception as problem:
            # log it here: the batch response contains only ids
            logger.exception("upload not processed", extra={"message_id": record.message_id})
            problems.append(problem)
    if problems:
        _set_aside_or_raise(record, problems[0], installation)


def _set_aside_or_raise(record: SQSRecord, problem: Exception, installation: Installation) -> None:
    """Raises: the problem, if the message comes back, or cannot be set aside.

    SQS would move it now, too, and not say why.
    """
    receives = int(record.attributes.approximate_receive_count or 0)
    if receives < UPLOAD_RECEIVES:
        raise problem
    letter = dead_letter_body(
        reason=cut(f"{type(problem).__name__}: {problem}", _LONGEST_REASON),
        lane=Channel.UPLOADS,
        body=cut(record.body, LONGEST_BODY),
    )
    try:
        address = upload_address(Channel.UPLOADS_DEAD_LETTER)
        installation.messages.send(address, [Outgoing(body=letter)])
    except Exception:
        logger.exception("upload not set aside", extra={"message_id": record.message_id})
        raise problem from None


def uploads_in(body: str) -> Iterator[Upload]:
    """The uploads that a message reports.

    It reads events from EventBridge, and S3's own notifications, whose keys are url-encoded. S3's
    test event reports none.

    Raises: UnknownEvent, after all uploads that can be read.
    Source: Amazon S3, "EventBridge event message structure" and "Event message structure".
    """
    try:
        event = json.loads(body)
    except ValueError:
        raise UnknownEvent(f"not JSON: {body[:200]!r}") from None
    match event:
        case {"source": "aws.s3", "detail-type": "Object Created"}:
            yield _from_event_bridge(S3EventBridgeNotificationEvent(event))
        case {"Event": "s3:TestEvent"}:
            logger.info("test event of S3: the notification is set up")
        case {"Records": [*_]}:
            yield from _from_notification(S3Event(event))
        case _:
            raise UnknownEvent(f"neither an EventBridge event nor an S3 notification: {body[:200]}")


def _from_event_bridge(event: S3EventBridgeNotificationEvent) -> Upload:
    detail = event.detail
    try:
        return Upload(
            bucket=detail.bucket.name,
            # not `.key`, which url-decodes it: EventBridge does not encode keys, and a plus is one
            key=detail.object["key"],
            size=int(detail.object.size or 0),
            etag=detail.object.etag,
            # not `.version_id`, which fails if the bucket is not versioned
            version=detail.object.get("version-id") or None,
            sequencer=detail.object.get("sequencer") or None,
            at_ms=to_ms(datetime.fromisoformat(event.time)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise UnknownEvent(f"an Object Created event without {problem}") from None


def _from_notification(event: S3Event) -> Iterator[Upload]:
    unreadable: list[UnknownEvent] = []
    for number, record in enumerate(event.records):
        try:
            upload = _from_record(record)
        except Exception as problem:  # noqa: BLE001 (whatever it is, its siblings are uploads)
            unreadable.append(
                UnknownEvent(f"record {number} of an upload notification without {problem}")
            )
        else:
            if upload is not None:
                yield upload
    if unreadable:
        for further in unreadable[1:]:
            logger.error("upload not processed: %s", further)
        raise unreadable[0]


def _from_record(record: S3EventRecord) -> Upload | None:
    """The upload of one record of a notification; None if it reports something else."""
    if not record.event_name.removeprefix("s3:").startswith("ObjectCreated:"):
        logger.info("not an upload", extra={"event": record.event_name})
        return None
    found = record.s3.get_object
    return Upload(
        bucket=record.s3.bucket.name,
        key=unquote_plus(found.key),
        size=int(found.size or 0),
        etag=found.etag,
        version=found.version_id or None,
        sequencer=found.sequencer or None,
        at_ms=to_ms(datetime.fromisoformat(record.event_time)),
    )
