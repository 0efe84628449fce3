"""A system on AWS, in this process: moto answers what boto3 asks, by the test's own clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.dynamodb.responses import DynamoHandler
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

from remotejob.backends.aws import DynamoStore, S3Files, SqsMessages
from remotejob.backends.aws.account import Account
from remotejob.backends.aws.service import DYNAMODB, SQS, Boto3Service, Service
from remotejob.domain.unreadable import SkippedItems
from remotejob.hooks import registry
from remotejob.local.gaps.sqs import change_visibility_one_by_one
from remotejob.names import ATTENTION_INDEX, Field
from remotejob.ports import (
    QUEUE_CHANNELS,
    UPLOAD_CHANNELS,
    Address,
    Area,
    Installation,
    QueueDescription,
    upload_address,
)
from remotejob.testing import FakeClock, seeded_entropy
from tests import quick_moto

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

quick_moto.install()

TABLE: Final = "jobs"
REGION: Final = "eu-central-1"
TRANSPORTS: Final = ("direct", "boto3")
"""The ways to ask AWS."""
BUCKETS: Final = {Area.INPUT: "test-input", Area.OUTPUT: "test-output"}


@dataclass(frozen=True, slots=True)
class Clients:
    """Made once: moto answers those that were made after it was imported."""

    dynamodb: DynamoDBClient
    sqs: SQSClient
    s3: S3Client


@cache
def session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION
    )


@cache
def clients() -> Clients:
    made = session()
    return Clients(made.client("dynamodb"), made.client("sqs"), made.client("s3"))


def services(clock: FakeClock, *, transport: str = "direct") -> tuple[Service, Service]:
    """DynamoDB and SQS, asked that way."""
    if transport == "boto3":
        return Boto3Service(clients().dynamodb), Boto3Service(clients().sqs)
    account = Account(session())
    return account.service(DYNAMODB, clock=clock), account.service(SQS, clock=clock)


def files(clock: FakeClock, *, transport: str = "direct") -> S3Files:
    """S3, asked that way."""
    account = Account(session())
    direct = account.objects(BUCKETS.values(), clock=clock) if transport == "direct" else None
    return S3Files(lambda: clients().s3, BUCKETS, direct=direct)


def emitters() -> tuple[Any, ...]:
    """botocore's event emitters, which see every request of these systems, whatever sends it."""
    aws = clients()
    return session().events, *(client.meta.events for client in (aws.dynamodb, aws.sqs, aws.s3))


@contextmanager
def aws_installation(
    clock: FakeClock | None = None,
    *,
    queues: Mapping[str, tuple[str, ...]] | None = None,
    transport: str = "direct",
) -> Iterator[Installation]:
    """A system of its own, empty; `queues` are the tasks by queue, as in `memory_installation`."""
    clock = clock or FakeClock()
    described = queues or {"default": ("work",)}
    aws = clients()
    dynamodb, sqs = services(clock, transport=transport)
    with mock_aws(), _one_request_at_a_time(), _sqs_time(clock):
        make_table(aws.dynamodb)
        for area in Area:
            make_bucket(aws.s3, area)
        skipped = SkippedItems()
        yield Installation(
            name="test",
            store=DynamoStore(dynamodb, TABLE, clock, skipped=skipped),
            messages=SqsMessages(sqs, made_queues(aws.sqs, described), clock),
            files=files(clock, transport=transport),
            clock=clock,
            entropy=seeded_entropy(),
            queues={
                name: QueueDescription(name=name, tasks=tasks) for name, tasks in described.items()
            },
            hooks=registry,
            skipped=skipped,
        )


@contextmanager
def aws_store(clock: FakeClock, *, transport: str) -> Iterator[DynamoStore]:
    """A table of its own, empty, without the rest of a system."""
    with mock_aws(), _one_request_at_a_time():
        make_table(clients().dynamodb)
        yield DynamoStore(services(clock, transport=transport)[0], TABLE, clock)


@contextmanager
def aws_messages(clock: FakeClock, *, transport: str) -> Iterator[SqsMessages]:
    """The channels of the default queue, empty, without the rest of a system."""
    with mock_aws(), _one_request_at_a_time(), _sqs_time(clock):
        queues = made_queues(clients().sqs, {"default": ()})
        yield SqsMessages(services(clock, transport=transport)[1], queues, clock)


@contextmanager
def aws_files(clock: FakeClock, *, transport: str) -> Iterator[S3Files]:
    """The buckets, empty, without the rest of a system."""
    with mock_aws():
        for area in Area:
            make_bucket(clients().s3, area)
        yield files(clock, transport=transport)


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """How many requests went to AWS, by operation."""
    counts: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        counts[event_name.rpartition(".")[2]] += 1

    for emitter in emitters():
        emitter.register_first("before-send", count, unique_id="counted")
    try:
        yield counts
    finally:
        for emitter in emitters():
            emitter.unregister("before-send", unique_id="counted")


def make_table(client: DynamoDBClient) -> None:
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": Field.PK, "AttributeType": "S"},
            {"AttributeName": Field.SK, "AttributeType": "S"},
            {"AttributeName": Field.ATTENTION, "AttributeType": "S"},
            {"AttributeName": Field.ATTENTION_AT, "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": Field.PK, "KeyType": "HASH"},
            {"AttributeName": Field.SK, "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": ATTENTION_INDEX,
                "KeySchema": [
                    {"AttributeName": Field.ATTENTION, "KeyType": "HASH"},
                    {"AttributeName": Field.ATTENTION_AT, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )


def make_bucket(client: S3Client, area: Area) -> None:
    bucket = BUCKETS[area]
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    if area is Area.INPUT:
        # as the stacks have it: outputs are written once
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def made_queues(client: SQSClient, queues: Mapping[str, object]) -> dict[Address, str]:
    addresses = [Address(name, channel) for name in queues for channel in QUEUE_CHANNELS]
    addresses += [upload_address(channel) for channel in UPLOAD_CHANNELS]
    return {
        one: client.create_queue(QueueName=f"{one.queue}-{one.channel}")["QueueUrl"]
        for one in addresses
    }


@contextmanager
def _one_request_at_a_time() -> Iterator[None]:
    """DynamoDB makes each write whole or not at all; moto's threads get in between."""
    lock = threading.RLock()
    with ExitStack() as patches:
        for handler in (DynamoHandler, SQSResponse):
            answered = handler.call_action

            def answer(request: Any, answered: Callable[[Any], Any] = answered) -> Any:
                with lock:
                    return answered(request)

            patches.enter_context(patch.object(handler, "call_action", answer))
        yield


@contextmanager
def _sqs_time(clock: FakeClock) -> Iterator[None]:
    """Let moto's queues tell the time by `clock`.

    moto shows a message only after its time; under a clock that stands still, at it.
    """
    visible = property(lambda message: clock.now_ms() >= message.visible_at)
    with (
        patch("moto.sqs.models.unix_time_millis", lambda: float(clock.now_ms())),
        patch("moto.sqs.models.unix_time", lambda: clock.now_ms() / 1000),
        patch("moto.sqs.models.Message.visible", visible),
        patch.object(SQSBackend, "change_message_visibility_batch", change_visibility_one_by_one),
        _hidden_from_the_receive(clock),
    ):
        yield


@contextmanager
def _hidden_from_the_receive(clock: FakeClock) -> Iterator[None]:
    """Let a message be hidden for 12 hours from its receive; moto counts from when it was sent."""
    received, changed = Message.mark_received, SQSBackend.change_message_visibility

    def mark_received(self: Any, **options: Any) -> None:
        received(self, **options)
        self.received_ms = clock.now_ms()

    def change_visibility(
        self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        for message in self.get_queue(queue_name)._messages:
            if message.had_receipt_handle(receipt_handle):
                sent, message.sent_timestamp = message.sent_timestamp, message.received_ms
                try:
                    changed(self, queue_name, receipt_handle, visibility_timeout)
                finally:
                    message.sent_timestamp = sent
                return
        changed(self, queue_name, receipt_handle, visibility_timeout)

    with (
        patch.object(Message, "mark_received", mark_received),
        patch.object(SQSBackend, "change_message_visibility", change_visibility),
    ):
        yield
