"""The sample events are what the upload function reads, and what AWS documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from aws_lambda_powertools.utilities.data_classes import (
    S3Event,
    S3EventBridgeNotificationEvent,
    SQSEvent,
)

from remotejob.functions.on_upload import UnknownEvent, uploads_in
from remotejob.testing import s3_event, s3_notification, s3_test_event, sqs_event

KEY = "scans/für ada+co/a b.pdf"
AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("version", ["v1", None])
def test_both_forms_report_the_same_upload(version: str | None) -> None:
    options = {
        "bucket": "b",
        "size": 7,
        "etag": "e",
        "version": version,
        "sequencer": "0A",
        "at": AT,
    }
    [bridged] = uploads_in(json.dumps(s3_event(KEY, **options)))  # type: ignore[arg-type]
    [direct] = uploads_in(json.dumps(s3_notification(KEY, **options)))  # type: ignore[arg-type]

    assert bridged == direct
    assert (bridged.key, bridged.bucket, bridged.size, bridged.version) == (KEY, "b", 7, version)
    assert bridged.at_ms == AT.timestamp() * 1000


def test_their_keys_are_written_as_s3_does() -> None:
    assert s3_event(KEY)["detail"]["object"]["key"] == KEY
    [record] = s3_notification(KEY)["Records"]
    assert record["s3"]["object"]["key"] == "scans/f%C3%BCr+ada%2Bco/a+b.pdf"


def test_a_notification_has_a_record_for_each_key() -> None:
    assert [one.key for one in uploads_in(json.dumps(s3_notification("a", "b", "c")))] == [*"abc"]
    removed = s3_notification("a", event_name="ObjectRemoved:Delete")
    assert list(uploads_in(json.dumps(removed))) == []


def test_the_test_event_reports_none() -> None:
    assert list(uploads_in(json.dumps(s3_test_event()))) == []
    with pytest.raises(UnknownEvent):
        list(uploads_in(json.dumps({**s3_test_event(), "Event": "else"})))


def test_other_readers_of_events_take_them() -> None:
    bridged = S3EventBridgeNotificationEvent(s3_event("a"))
    assert (bridged.detail_type, bridged.detail.reason) == ("Object Created", "PutObject")
    assert bridged.detail.object.version_id
    direct = S3Event(s3_notification("a b"))
    assert (direct.object_key, direct.bucket_name) == ("a b", "uploads")
    [message] = SQSEvent(sqs_event(s3_event("a"))).records
    assert message.json_body == s3_event("a")
    assert message.event_source_arn.endswith(":uploads")
    assert [one.body for one in SQSEvent(sqs_event("x", "y", queue="mine")).records] == ["x", "y"]


def test_a_time_may_be_in_any_zone() -> None:
    local = datetime.fromisoformat("2026-03-01T06:05:06+02:00")
    assert s3_event("a", at=local)["time"] == "2026-03-01T04:05:06Z"
    assert s3_notification("a", at=local)["Records"][0]["eventTime"] == "2026-03-01T04:05:06.000Z"
