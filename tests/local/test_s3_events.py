"""What an upload tells EventBridge and queues is what S3 would tell them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.local.helpers import drain_up_to, physical

Events = Callable[..., list[dict[str, Any]]]
PART = 5 * 1024 * 1024


@pytest.fixture
def bucket(aws: EmbeddedAws) -> str:
    return physical(aws, "S3::Bucket", "Storage/Uploads")


@pytest.fixture
def key() -> str:
    return f"in/{uuid.uuid4().hex} photo ünïcode+&.jpg"


@pytest.fixture
def events(aws: EmbeddedAws, bucket: str) -> Events:
    """The events about one key that the rule has sent to its queue, in their order."""
    url = physical(aws, "SQS::Queue", "Functions/Events")

    def about(key: str) -> list[dict[str, Any]]:
        # what an earlier upload sends is there before what a later one does
        end = f"in/{uuid.uuid4().hex} the end"
        aws.client("s3").put_object(Bucket=bucket, Key=end, Body=b"")
        found = drain_up_to(aws, url, lambda body: bool(body["detail"]["object"]["key"] == end))
        return [body for body in found if body["detail"]["object"]["key"] == key]

    return about


def test_upload_sends_one_event_as_s3_words_it(
    aws: EmbeddedAws, bucket: str, key: str, events: Events
) -> None:
    put = aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"hello")
    [event] = events(key)
    uuid.UUID(event["id"])
    assert event["source"] == "aws.s3"
    assert event["detail-type"] == "Object Created"
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    assert time.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")
    detail = event["detail"]
    assert detail["reason"] == "PutObject"
    assert detail["bucket"] == {"name": bucket}
    assert int(detail["object"].pop("sequencer"), 16) > 0
    assert detail["object"] == {
        "key": key,
        "size": 5,
        "etag": put["ETag"].strip('"'),
        "version-id": put["VersionId"],
    }


def test_versions_of_a_key_have_ids_of_their_own_and_growing_sequencers(
    aws: EmbeddedAws, bucket: str, key: str, events: Events
) -> None:
    for body in (b"1", b"22"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    found = sorted(events(key), key=lambda e: e["detail"]["object"]["sequencer"])
    assert [e["detail"]["object"]["size"] for e in found] == [1, 2]
    assert len({e["detail"]["object"]["version-id"] for e in found}) == 2
    assert len({e["id"] for e in found}) == 2


def test_multipart_upload_sends_one_event(
    aws: EmbeddedAws, bucket: str, key: str, events: Events
) -> None:
    s3 = aws.client("s3")
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in ((1, b"a" * PART), (2, b"b"))
    ]
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    [event] = events(key)
    assert event["detail"]["reason"] == "CompleteMultipartUpload"
    assert event["detail"]["object"]["size"] == PART + 1
    assert event["detail"]["object"]["etag"] == done["ETag"].strip('"')
    assert event["detail"]["object"]["version-id"] == done["VersionId"]


def test_copy_sends_one_event(aws: EmbeddedAws, bucket: str, key: str, events: Events) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="jobs/source", Body=b"x")
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "jobs/source"})
    assert [e["detail"]["reason"] for e in events(key)] == ["CopyObject"]


@pytest.mark.parametrize("prefix", ["jobs/", "tmp/"])
def test_prefixes_that_the_rule_leaves_out_send_nothing(
    aws: EmbeddedAws, bucket: str, key: str, events: Events, prefix: str
) -> None:
    aws.client("s3").put_object(Bucket=bucket, Key=f"{prefix}{key}", Body=b"x")
    assert events(f"{prefix}{key}") == []


def test_notifications_by_property_of_the_bucket_work_without_versions(
    aws: EmbeddedAws, key: str, events: Events
) -> None:
    bucket = physical(aws, "S3::Bucket", "Storage/Direct")
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    [event] = events(key)
    assert "version-id" not in event["detail"]["object"]


def test_queue_that_does_not_let_eventbridge_in_gets_nothing(
    aws: EmbeddedAws, bucket: str, key: str, events: Events, make_queue: Callable[..., str]
) -> None:
    closed = make_queue()
    client, sqs = aws.client("events"), aws.client("sqs")
    arn = sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])["Attributes"]
    client.put_rule(Name="closed", EventPattern=json.dumps({"source": ["aws.s3"]}))
    client.put_targets(Rule="closed", Targets=[{"Id": "1", "Arn": arn["QueueArn"]}])
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    assert len(events(key)) == 1
    assert "Messages" not in sqs.receive_message(QueueUrl=closed)
    client.remove_targets(Rule="closed", Ids=["1"])
    client.delete_rule(Name="closed")


def test_direct_notification_of_a_queue_encodes_the_key(
    aws: EmbeddedAws, key: str, make_queue: Callable[..., str]
) -> None:
    s3, sqs, url = aws.client("s3"), aws.client("sqs"), make_queue()
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bucket = f"direct-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    queue = {"QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
    )
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
    first, second = (json.loads(m["Body"]) for m in messages["Messages"])
    assert first["Event"] == "s3:TestEvent"
    [record] = second["Records"]
    described = record["s3"]["object"]
    assert "/" in described["key"]
    assert unquote_plus(described["key"]) == key
    assert described["versionId"] == put["VersionId"]
    assert described["sequencer"]
    assert record["eventName"] == "ObjectCreated:Put"
