"""Queues invoke their functions as Lambda's pollers do."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.waiting import until
from tests.local.helpers import drain_up_to, physical

Received = Callable[..., list[dict[str, Any]]]
POLLERS = 2
"""Of each mapping."""


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


def waiting(aws: EmbeddedAws) -> dict[str, int]:
    """How many messages the consumer's queue has: visible ones, and others."""
    answer = aws.client("sqs").get_queue_attributes(
        QueueUrl=physical(aws, "SQS::Queue", "Storage/Work"), AttributeNames=["All"]
    )
    kinds = {"visible": "", "hidden": "NotVisible", "delayed": "Delayed"}
    return {
        name: int(answer["Attributes"][f"ApproximateNumberOfMessages{kind}"])
        for name, kind in kinds.items()
    }


def test_only_the_failures_of_a_batch_come_back(
    aws: EmbeddedAws, send: Callable[..., str], mark: str, results: Received
) -> None:
    send(n=1)
    send(n=2, fail=True)
    send(n=3)
    found = results(lambda body: body.get("test") == mark, count=3)
    # what comes back more than once is reported before it is deleted
    until(lambda: not any(waiting(aws).values()), what="the end of every message")
    url, end = physical(aws, "SQS::Queue", "Storage/Results"), {"end": mark}
    aws.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(end))
    found += [body for body in drain_up_to(aws, url, end.__eq__) if body.get("test") == mark]
    counts = sorted(
        (json.loads(f["record"]["body"])["n"], f["record"]["attributes"]["ApproximateReceiveCount"])
        for f in found
    )
    assert counts == [(1, "1"), (2, "2"), (3, "1")]


@pytest.mark.exhaustive
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
    # the long polls under way, one of each poller, still belong to the enabled mapping
    for n in range(POLLERS + 1):
        send(n=n)
        for _ in range(3):
            aws.invoke("Functions/Direct", {"do": "describe"})
        if waiting(aws)["visible"]:
            break
    else:
        pytest.fail("every message was taken")
    client.update_event_source_mapping(UUID=mapping, Enabled=True)
    found = results(lambda body: body.get("test") == mark, count=n + 1)
    assert sorted(json.loads(f["record"]["body"])["n"] for f in found) == list(range(n + 1))
