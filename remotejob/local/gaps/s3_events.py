"""S3: event notifications in the format of S3.

What moto does: notifications to queues have no `sequencer` and no version; events to EventBridge
have a constant sequencer and the reason "ObjectCreated"; `/` is encoded as `%2F`; a multipart
upload causes two events, a delete marker none.

What AWS does: S3 User Guide, "Event message structure" (URL-encoded keys, for queues and
functions) and "EventBridge event message structure" (plain keys).
"""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus
from xml.etree import ElementTree as ET

from moto.s3 import models, notifications
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response
from moto.sqs.models import sqs_backends

from remotejob.local import functions
from remotejob.local.gaps import eventbridge

_LOG = logging.getLogger(__name__)
_SEQUENCE = itertools.count()
_LOCAL = threading.local()

#: The EventBridge event's `reason` by event name.
_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
}


def close_gap() -> None:
    """Send our own notifications instead of moto's, one for each change."""
    notifications.send_event = send_event
    _one_event_for_each_multipart_upload()
    _notify_of_delete_markers()
    _say_that_event_bridge_hears()


def _say_that_event_bridge_hears() -> None:
    """Moto leaves it out of a bucket's notification configuration."""
    stock = S3Response.get_bucket_notification

    def get_bucket_notification(self: Any) -> Any:
        status, headers, body = stock(self)
        configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
        if configuration is None or configuration.event_bridge is None:
            return status, headers, body
        root = ET.fromstring(body)  # noqa: S314 (moto wrote it)
        space = root.tag.rpartition("}")[0]
        ET.SubElement(root, f"{space}}}EventBridgeConfiguration".removeprefix("}"))
        said = ET.tostring(root, encoding="unicode")
        return status, {**headers, "Content-Length": str(len(said.encode()))}, said

    S3Response.get_bucket_notification = get_bucket_notification  # type: ignore[method-assign]


def _one_event_for_each_multipart_upload() -> None:
    stock_complete, stock_put = S3Backend.complete_multipart_upload, S3Backend.put_object

    def complete_multipart_upload(self: S3Backend, *args: Any, **kw: Any) -> Any:
        _LOCAL.completing = True
        try:
            return stock_complete(self, *args, **kw)
        finally:
            _LOCAL.completing = False

    def put_object(self: S3Backend, *args: Any, **kw: Any) -> Any:
        if getattr(_LOCAL, "completing", False):
            kw["disable_notification"] = True
        return stock_put(self, *args, **kw)

    S3Backend.complete_multipart_upload = complete_multipart_upload  # type: ignore[method-assign]
    S3Backend.put_object = put_object  # type: ignore[method-assign]


def _notify_of_delete_markers() -> None:
    stock = S3Backend._set_delete_marker

    def _set_delete_marker(self: S3Backend, bucket_name: str, key_name: str) -> Any:
        marker = stock(self, bucket_name, key_name)
        name = notifications.S3NotificationEvent.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
        send_event(self.account_id, name, self.get_bucket(bucket_name), marker)
        return marker

    S3Backend._set_delete_marker = _set_delete_marker  # type: ignore[method-assign]


def send_event(account_id: str, event_name: str, bucket: Any, key: Any) -> None:
    """Notify the targets in the bucket's configuration; log failures and continue."""
    configuration = bucket.notification_configuration
    if configuration is None or key is None:
        return
    name = str(getattr(event_name, "value", event_name)).removeprefix("s3:")
    sequencer = f"{time.time_ns() + next(_SEQUENCE):018X}"
    for notification in (*configuration.cloud_function, *configuration.queue):
        if notification.matches(f"s3:{name}", key.name):
            message = _record(account_id, name, bucket, key, notification.id, sequencer)
            try:
                _notify(account_id, notification.arn, message)
            except Exception:  # noqa: BLE001
                _LOG.exception("S3 could not notify %s", notification.arn)
    if configuration.event_bridge is not None:
        eventbridge.put(_event(account_id, name, bucket, key, sequencer))


def _notify(account_id: str, arn: str, message: dict[str, Any]) -> None:
    service, region, name = arn.split(":")[2], arn.split(":")[3], arn.rpartition(":")[2]
    if service == "lambda":
        functions.invoke_later(arn, message)
    else:
        sqs_backends[account_id][region].send_message(
            queue_name=name, message_body=json.dumps(message)
        )


def _record(
    account_id: str, name: str, bucket: Any, key: Any, configuration_id: str, sequencer: str
) -> dict[str, Any]:
    described: dict[str, Any] = {"key": quote_plus(key.name, safe="/")}
    if isinstance(key, models.FakeKey):
        described |= {"size": key.size, "eTag": key.etag.strip('"')}
    if bucket.is_versioned:
        described["versionId"] = key.version_id
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": now,
        "eventName": name,
        "userIdentity": {"principalId": f"AWS:{account_id}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": uuid.uuid4().hex[:16].upper()},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": account_id},
                "arn": bucket.arn,
            },
            "object": {**described, "sequencer": sequencer},
        },
    }
    return {"Records": [record]}


def _event(account_id: str, name: str, bucket: Any, key: Any, sequencer: str) -> eventbridge.Event:
    described: dict[str, Any] = {"key": key.name}
    if isinstance(key, models.FakeKey):
        described |= {"size": key.size, "etag": key.etag.strip('"')}
    if bucket.is_versioned:
        described["version-id"] = key.version_id
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": {**described, "sequencer": sequencer},
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": account_id,
        "source-ip-address": "127.0.0.1",
    }
    if name in _REASONS:
        detail["reason"] = _REASONS[name]
    if name.startswith("ObjectRemoved"):
        marker = name.endswith("DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marker else "Permanently Deleted"
    return eventbridge.event(
        source="aws.s3",
        detail_type=notifications._detail_type(f"s3:{name}"),
        resources=[bucket.arn],
        detail=detail,
        account=account_id,
        region=bucket.region_name,
    )
