"""The same world on the AWS backend: the library's own requests, answered in this process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

import boto3
from botocore.config import Config
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import botocore_stubber

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.files import S3Files
from remotejob.backends.aws.messages import SqsMessages
from remotejob.backends.aws.service import DYNAMODB, SQS, Boto3Service, Service
from remotejob.backends.aws.store import DynamoStore
from remotejob.names import ATTENTION_INDEX, Field
from remotejob.ports import Address, Area, Channel, Installation
from remotejob.testing import FakeClock, seeded_entropy
from remotejob.testing.crashes import HttpFault, HttpFaults
from tests import quick_moto
from tests.simulation.world import QUEUE, QUEUES, World

quick_moto.install()

_REGION: Final = "us-east-1"
_ACCOUNT: Final = "123456789012"
_CONFIG: Final = Config(region_name=_REGION, retries={"mode": "standard", "max_attempts": 3})
_FORTNIGHT: Final = "1209600"


class _SqsBackstage:
    """Of the queues of the embedded AWS."""

    def __init__(self, urls: dict[Address, str]) -> None:
        self._names = {address: url.rpartition("/")[2] for address, url in urls.items()}

    def bodies(self, address: Address) -> list[str]:
        return [message.body for message in self._messages(address)]

    def lose(self, address: Address, which: int) -> str:
        return str(self._messages(address).pop(which).body)

    def _messages(self, address: Address) -> list[Any]:
        queues: Any = get_backend("sqs")[_ACCOUNT][_REGION].queues
        messages: list[Any] = queues[self._names[address]]._messages
        return messages


class EmbeddedAws:
    """Makes worlds, each on a table, queues and buckets of its own."""

    def __init__(self, transport: str) -> None:
        session = boto3.Session("id", "secret", region_name=_REGION)
        self._transport = transport
        self._account = Account(session)
        self._dynamodb = session.client("dynamodb", config=_CONFIG)
        # never faulted: what the trace reads the records with
        self._observing = Account(boto3.Session("id", "secret", region_name=_REGION))
        self._sqs = session.client("sqs", config=_CONFIG)
        self._s3 = session.client("s3", config=_CONFIG)
        self._emitters = (
            session.events,
            *(client.meta.events for client in (self._dynamodb, self._sqs, self._s3)),
        )
        self._numbers = itertools.count(1)
        self._clock = FakeClock()

    def now_ms(self) -> int:
        """Time, as the embedded AWS has it too."""
        return self._clock.now_ms()

    def world(self, fault: HttpFault, *, at: int, delay: int | None = None) -> World:
        """A new system, with a fault at that HTTP attempt."""
        self._clock = clock = FakeClock()
        number = next(self._numbers)
        urls = self._make_queues(number)
        buckets = {area: f"{area}-{number}" for area in Area}
        for bucket in buckets.values():
            self._s3.create_bucket(Bucket=bucket)
            self._s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        table = f"jobs-{number}"
        self._make_table(table)
        faults = HttpFaults(handle=botocore_stubber, fault=fault, at=at, delay=delay)
        dynamodb, sqs = self._services(clock)
        installation = Installation(
            name="embedded",
            store=DynamoStore(dynamodb, table, clock),
            messages=SqsMessages(sqs, urls, clock),
            files=self._files(buckets, clock),
            clock=clock,
            entropy=seeded_entropy(),
            queues=QUEUES,
            retention=timedelta(days=1),
        )
        faults.attach(*self._emitters)
        return World(
            installation,
            clock=clock,
            faults=faults,
            backstage=_SqsBackstage(urls),
            observer=DynamoStore(self._observing.service(DYNAMODB, clock=clock), table, clock),
        )

    def close(self, world: World) -> None:
        """Take the faults out, for the next world."""
        assert isinstance(world.faults, HttpFaults)
        world.faults.detach(*self._emitters)

    def _services(self, clock: FakeClock) -> tuple[Service, Service]:
        if self._transport == "boto3":
            return Boto3Service(self._dynamodb), Boto3Service(self._sqs)
        return (
            self._account.service(DYNAMODB, clock=clock),
            self._account.service(SQS, clock=clock),
        )

    def _files(self, buckets: Mapping[Area, str], clock: FakeClock) -> S3Files:
        direct = self._account.objects(buckets.values(), clock=clock)
        return S3Files(
            lambda: self._s3, buckets, direct=None if self._transport == "boto3" else direct
        )

    def _make_queues(self, number: int) -> dict[Address, str]:
        return {
            Address(QUEUE, channel): self._sqs.create_queue(
                QueueName=f"{channel}-{number}", Attributes={"MessageRetentionPeriod": _FORTNIGHT}
            )["QueueUrl"]
            for channel in Channel
        }

    def _make_table(self, table: str) -> None:
        kinds = {Field.PK: "S", Field.SK: "S", Field.ATTENTION: "S", Field.ATTENTION_AT: "N"}
        attributes: Any = [
            {"AttributeName": str(name), "AttributeType": kind} for name, kind in kinds.items()
        ]
        self._dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=attributes,
            KeySchema=_keys(Field.PK, Field.SK),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": ATTENTION_INDEX,
                    "KeySchema": _keys(Field.ATTENTION, Field.ATTENTION_AT),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )


def _keys(partition: Field, sort: Field) -> Any:
    return [
        {"AttributeName": str(partition), "KeyType": "HASH"},
        {"AttributeName": str(sort), "KeyType": "RANGE"},
    ]


@contextmanager
def embedded_aws(transport: str = "direct") -> Iterator[EmbeddedAws]:
    """An AWS in this process, under simulated time, whose clients do not wait between retries."""
    with mock_aws():
        aws = EmbeddedAws(transport)
        with (
            patch("moto.sqs.models.unix_time_millis", lambda: float(aws.now_ms())),
            patch("moto.sqs.models.unix_time", lambda: aws.now_ms() / 1000),
            patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0),
        ):
            yield aws
