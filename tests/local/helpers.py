"""What several tests of the embedded AWS need."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remotejob.local.embedded import EmbeddedAws

SAMPLE = Path(__file__).parent / "sample"


def physical(aws: EmbeddedAws, kind: str, name: str) -> str:
    """The physical id of a resource of the sample app."""
    return aws.deployment.one(f"AWS::{kind}", name).physical_id


def drain(
    aws: EmbeddedAws,
    url: str,
    mine: Callable[[dict[str, Any]], bool],
    count: int,
    within_s: float = 15,
) -> list[dict[str, Any]]:
    """The bodies of `count` messages that are ours; those of other tests are put back."""
    sqs = aws.client("sqs")
    found: list[dict[str, Any]] = []
    end = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            body = json.loads(message["Body"])
            handle = message["ReceiptHandle"]
            if mine(body):
                found.append(body)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    return found


def drain_up_to(
    aws: EmbeddedAws, url: str, last: Callable[[dict[str, Any]], bool], within_s: float = 60
) -> list[dict[str, Any]]:
    """The bodies of all messages before the one that is `last`; a queue keeps their order."""
    sqs = aws.client("sqs")
    found: list[dict[str, Any]] = []
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
        if any(last(body) for body in found):
            return [body for body in found if not last(body)]
    raise AssertionError(f"the last message did not come; there were: {found}")
