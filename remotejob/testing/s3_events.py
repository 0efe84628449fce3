"""Events that S3 sends when a file is uploaded, for tests of functions that receive them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

_ACCOUNT: Final = "111122223333"
_REGION: Final = "eu-central-1"
_AT: Final = datetime(2026, 1, 15, 12, tzinfo=UTC)
_ADDRESS: Final = "192.0.2.1"
_REQUEST: Final = "N4N7GDK58NMKJ12R"

Event = dict[str, Any]


def s3_event(
    key: str,
    *,
    bucket: str = "uploads",
    size: int = 1024,
    etag: str = "b1946ac92492d2347c6235b4d2611184",
    version: str | None = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
    sequencer: str = "00617F08299329D189",
    at: datetime = _AT,
) -> Event:
    """The event "Object Created" as EventBridge delivers it, which is how a system gets it.

    The key is not encoded. `version=None` leaves the version out, as in a bucket without versions.
    Source: Amazon S3 User Guide, "EventBridge event message structure".
    """
    described: dict[str, Any] = {"key": key, "size": size, "etag": etag}
    if version is not None:
        described["version-id"] = version
    described["sequencer"] = sequencer
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": _ACCOUNT,
        "time": _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": _REGION,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": described,
            "request-id": _REQUEST,
            "requester": _ACCOUNT,
            "source-ip-address": _ADDRESS,
            "reason": "PutObject",
        },
    }


def s3_notification(
    *keys: str,
    bucket: str = "uploads",
    size: int = 1024,
    etag: str = "b1946ac92492d2347c6235b4d2611184",
    version: str | None = "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
    sequencer: str = "00617F08299329D189",
    at: datetime = _AT,
    event_name: str = "ObjectCreated:Put",
) -> Event:
    """The notification that S3 itself sends to a queue, a topic or a function: a record per key.

    Keys are URL-encoded, a space as a plus, and slashes stay.
    Source: Amazon S3 User Guide, "Event message structure".
    """
    records = []
    for key in keys:
        described: dict[str, Any] = {
            "key": quote_plus(key, safe="/"),
            "size": size,
            "eTag": etag,
        }
        if version is not None:
            described["versionId"] = version
        described["sequencer"] = sequencer
        records.append(
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": _REGION,
                "eventTime": f"{_utc(at):%Y-%m-%dT%H:%M:%S}.{_utc(at).microsecond // 1000:03d}Z",
                "eventName": event_name,
                "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
                "requestParameters": {"sourceIPAddress": _ADDRESS},
                "responseElements": {
                    "x-amz-request-id": _REQUEST,
                    "x-amz-id-2": "EXAMPLE123/5678abcdefghijklambdaisawesome/mnopqrstuvwxyzABCD",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "uploads",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": described,
                },
            }
        )
    return {"Records": records}


def s3_test_event(*, bucket: str = "uploads", at: datetime = _AT) -> Event:
    """The event that S3 sends when a notification is set up. It reports no upload.

    Source: Amazon S3 User Guide, "Event message structure".
    """
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": f"{_utc(at):%Y-%m-%dT%H:%M:%S}.000Z",
        "Bucket": bucket,
        "RequestId": _REQUEST,
        "HostId": "EXAMPLE123/5678abcdefghijklambdaisawesome/mnopqrstuvwxyzABCD",
    }


def sqs_event(*bodies: Mapping[str, Any] | str, queue: str = "uploads") -> Event:
    """What Lambda gives a function whose event source is an SQS queue: a record per message.

    A body that is no text is written as JSON, so events of S3 can be passed as they are.
    Source: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
    """
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    sent_ms = str(int(_AT.timestamp() * 1000))
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": f"AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a{number}",
                "body": text,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": sent_ms,
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": sent_ms,
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{queue}",
                "awsRegion": _REGION,
            }
            for number, text in enumerate(texts, start=1)
        ]
    }


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
