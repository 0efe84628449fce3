"""Queues invoke their functions as Lambda's pollers do."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.local.helpers import physical

Received = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def send(aws: EmbeddedAws, mark: str) -> Callable[..., str]:
    """Send a body to the queue of the consumer; the text sent."""
    url = physical(aws, "SQS::Queue", "Storage/Work")

    def sent(**body: Any) -> str:
        text = json.dumps({"test": mark, **body})
        attribute = {"DataType": "String", "StringValue": "blue"}
        aws.client("sqs").send_message(
            QueueUrl=url, MessageBody=text, MessageAttributes={"colour": attribute}
        )
        return text

    return sent


def test_record_has_the_shape_of_lambdas_sqs_event(
    aws: EmbeddedAws, send: Callable[..., str], mark: str, results: Received
) -> None:
    text = send()
    [got] = results(lambda body: body.get("test") == mark)
    record = got["record"]
    assert record["body"] == text
    assert record["md5OfBody"] == hashlib.md5(text.encode()).hexdigest()  # noqa: S324
    assert record["eventSource"] == "aws:sqs"
    name = physical(aws, "SQS::Queue", "Storage/Work").rpartition("/")[2]
    assert record["eventSourceARN"] == f"arn:aws:sqs:{aws.region}:{aws.deployment.account}:{name}"
    assert record["awsRegion"] == aws.region
    assert set(record["attributes"]) == {
        "ApproximateReceiveCount",
        "SentTimestamp",
        "SenderId",
        "ApproximateFirstReceiveTimestamp",
    }
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["colour"] == {
        "stringValue": "blue",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert record["messageId"]
    assert record["receiptHandle"]


def test_only_the_failures_of_a_batch_come_back(
    send: Callable[..., str], mark: str, results: Received
) -> None:
    send(n=1)
    send(n=2, fail=True)
    send(n=3)
    found = results(lambda body: body.get("test") == mark, count=4, within_s=6)
    counts = sorted(
        (json.loads(f["record"]["body"])["n"], f["record"]["attributes"]["ApproximateReceiveCount"])
        for f in found
    )
    assert counts == [(1, "1"), (2, "2"), (3, "1")]


def test_batch_of_a_function_that_raises_comes_back(
    send: Callable[..., str], mark: str, results: Received
) -> None:
    send(**{"raise": True})
    [found] = results(lambda body: body.get("test") == mark)
    assert found["record"]["attributes"]["ApproximateReceiveCount"] == "2"


def test_disabled_mapping_leaves_messages_in_the_queue(
    aws: EmbeddedAws, send: Callable[..., str], mark: str, results: Received
) -> None:
    client = aws.client("lambda")
    mapping = aws.deployment.one("AWS::Lambda::EventSourceMapping").physical_id
    client.update_event_source_mapping(UUID=mapping, Enabled=False)
    time.sleep(1.2)  # a long poll under way still belongs to the enabled mapping
    send()
    assert results(lambda body: body.get("test") == mark, within_s=2) == []
    client.update_event_source_mapping(UUID=mapping, Enabled=True)
    assert results(lambda body: body.get("test") == mark)
