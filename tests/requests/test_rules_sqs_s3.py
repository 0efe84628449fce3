"""The rules refuse what SQS and S3 refuse, one request a rule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.requests.rules import faults
from tests.requests.rules.s3 import parameters

Bad = tuple[str, dict[str, Any]]
"""An operation, and a request that AWS refuses; by what a rule says of it."""

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/lane"
SENT = {"QueueUrl": URL, "MessageBody": "{}", "DelaySeconds": 900, "MessageGroupId": "a-1"}
RECEIVED = {"QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20}


def batch(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"QueueUrl": URL, "Entries": list(entries)}


def entry(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {"Id": str(number), "MessageBody": "{}", **changes}


def attribute(name: str = "a", kind: str = "String", value: str = "b") -> dict[str, Any]:
    return {**SENT, "MessageAttributes": {name: {"DataType": kind, "StringValue": value}}}


GOOD = [
    ("SendMessage", SENT),
    ("SendMessage", {**SENT, "MessageBody": "\t\n\r \U0001f600"}),
    ("SendMessage", attribute()),
    ("SendMessageBatch", batch(*map(entry, range(10)))),
    ("ReceiveMessage", {**RECEIVED, "MessageSystemAttributeNames": ["SentTimestamp"]}),
    ("DeleteMessageBatch", batch({"Id": "0", "ReceiptHandle": "r"})),
    ("GetQueueAttributes", {"QueueUrl": URL, "AttributeNames": ["QueueArn"]}),
]


@pytest.mark.parametrize(("operation", "request_"), GOOD)
def test_good_request_has_no_fault(operation: str, request_: dict[str, Any]) -> None:
    assert faults("sqs", operation, request_) == []


BAD: dict[str, Bad] = {
    "lacks MessageBody": ("SendMessage", {"QueueUrl": URL}),
    "not one of": ("ReceiveMessage", {**RECEIVED, "MessageSystemAttributeNames": ["Sent"]}),
    "DelaySeconds is 901": ("SendMessage", {**SENT, "DelaySeconds": 901}),
    "DelaySeconds is -1": ("SendMessageBatch", batch(entry(DelaySeconds=-1))),
    "VisibilityTimeout is 43201": ("ReceiveMessage", {**RECEIVED, "VisibilityTimeout": 43_201}),
    "VisibilityTimeout is 50000": (
        "ChangeMessageVisibilityBatch",
        batch({"Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 50_000}),
    ),
    "WaitTimeSeconds is 21": ("ReceiveMessage", {**RECEIVED, "WaitTimeSeconds": 21}),
    "MaxNumberOfMessages is 0": ("ReceiveMessage", {**RECEIVED, "MaxNumberOfMessages": 0}),
    "no body": ("SendMessage", {**SENT, "MessageBody": ""}),
    "the character '\\x00'": ("SendMessage", {**SENT, "MessageBody": "a\0"}),
    "the character '\\ufffe'": ("SendMessageBatch", batch(entry(MessageBody="\ufffe"))),
    "more than 1,048,576": ("SendMessage", {**SENT, "MessageBody": "a" * (1024 * 1024 + 1)}),
    "1,200,000 bytes": (
        "SendMessageBatch",
        batch(*(entry(n, MessageBody="a" * 120_000) for n in range(10))),
    ),
    "no message group": ("SendMessage", {**SENT, "MessageGroupId": "a b"}),
    "11 entries": ("SendMessageBatch", batch(*map(entry, range(11)))),
    "0 entries": ("DeleteMessageBatch", batch()),
    "an id twice": ("SendMessageBatch", batch(entry(), entry())),
    "an entry with the id": ("SendMessageBatch", batch({"Id": "a b", "MessageBody": "{}"})),
    "no receipt handle": ("DeleteMessage", {"QueueUrl": URL, "ReceiptHandle": ""}),
    "no name of an attribute": ("SendMessage", attribute(name="aws.trace")),
    "no type of an attribute": ("SendMessage", attribute(kind="Text")),
    "is empty": ("SendMessage", attribute(value="")),
    "11 attributes": (
        "SendMessage",
        {
            **SENT,
            "MessageAttributes": {
                f"a{n}": {"DataType": "String", "StringValue": "b"} for n in range(11)
            },
        },
    ),
    "asks for the attribute": ("ReceiveMessage", {**RECEIVED, "MessageAttributeNames": ["a b"]}),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_request_is_refused(said: str) -> None:
    found = faults("sqs", *BAD[said])

    assert any(said in fault for fault in found), found


PUT = {"Bucket": "files", "Key": "jobs/a.jpg", "Metadata": {"name": "a"}}
BAD_FILES: dict[str, Bad] = {
    "a key of 1,025 bytes": ("PutObject", {**PUT, "Key": "a" * 1025}),
    "fewer than 1": ("GetObject", {"Bucket": "files", "Key": ""}),
    "bytes of metadata": ("PutObject", {**PUT, "Metadata": {"name": "a" * 2045}}),
    "not ASCII": ("PutObject", {**PUT, "Metadata": {"name": "\u00e4"}}),
    "1001 files": (
        "DeleteObjects",
        {"Bucket": "files", "Delete": {"Objects": [{"Key": str(n)} for n in range(1001)]}},
    ),
    "has no Keyy": ("GetObject", {"Bucket": "files", "Key": "a", "Keyy": "b"}),
}


@pytest.mark.parametrize("said", BAD_FILES)
def test_bad_request_for_a_file_is_refused(said: str) -> None:
    found = faults("s3", *BAD_FILES[said])

    assert any(said in fault for fault in found), found


def test_our_own_request_for_a_file_is_read_as_its_model_has_it() -> None:
    headers = {
        "x-amz-meta-name": "a",
        "x-amz-sdk-checksum-algorithm": "CRC32",
        "Content-Type": "image/png",
        "Authorization": "signed",
    }

    given, found = parameters("PutObject", "PUT", "/files/jobs/a%20b", headers, b"", bucket="files")

    assert found == []
    assert given == {
        "Bucket": "files",
        "Key": "jobs/a b",
        "Metadata": {"name": "a"},
        "ChecksumAlgorithm": "CRC32",
        "ContentType": "image/png",
    }
    assert faults("s3", "PutObject", given) == []


@pytest.mark.parametrize(
    ("method", "url", "headers", "said"),
    [
        ("POST", "/files/a", {}, "is sent with POST"),
        ("PUT", "/files/a", {"x-amz-checksm-crc32": "AAAA"}, "x-amz-checksm-crc32"),
        ("PUT", "/files/a?versionID=3", {}, "versionID"),
    ],
)
def test_our_own_request_for_a_file_that_the_model_does_not_know_is_refused(
    method: str, url: str, headers: dict[str, str], said: str
) -> None:
    _, found = parameters("PutObject", method, url, headers, b"", bucket="files")

    assert len(found) == 1
    assert said in found[0]
