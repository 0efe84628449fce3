"""Requests of which AWS takes a part: the rest is sent again, a few times, and then named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob import QueueUnavailable
from remotejob.backends.aws import DynamoStore, SqsMessages
from remotejob.backends.aws.service import Service
from remotejob.domain import command_changes
from remotejob.domain.changes import Change
from remotejob.domain.record import JobRecord
from remotejob.names import Field
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock
from remotejob.testing.conformance import samples
from tests.aws import TABLE, aws_installation, clients, services

LANE = Address("default", Channel.NORMAL)


class Partly:
    """A service of which one operation is answered in another way."""

    def __init__(self, service: Service, operation: str, answer: Callable[..., Any]) -> None:
        """`answer` is given the request, and what would answer it."""
        self._service = service
        self._operation = operation
        self._answer = answer

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        if operation == self._operation:
            return self._answer(request, lambda asked: self._service.call(operation, asked))
        return self._service.call(operation, request)


@pytest.fixture
def installation(clock: FakeClock) -> Iterator[Installation]:
    with aws_installation(clock) as installation:
        yield installation


def table(clock: FakeClock, operation: str, answer: Callable[..., Any]) -> DynamoStore:
    """The same table, of which that operation is answered so."""
    dynamodb, _ = services(clock)
    return DynamoStore(Partly(dynamodb, operation, answer), TABLE, clock)


def reads_one_at_a_time(request: Any, read: Callable[[Any], Any]) -> Any:
    asked = request["RequestItems"][TABLE]
    first, *rest = asked["Keys"]
    answer = read({"RequestItems": {TABLE: {**asked, "Keys": [first]}}})
    return {**answer, "UnprocessedKeys": {TABLE: {"Keys": rest}} if rest else {}}


def test_a_record_that_a_throttled_table_does_not_take_stops_only_its_share(
    installation: Installation, clock: FakeClock
) -> None:
    records = [samples.ready(number) for number in range(30)]

    def refuses_one(request: Any, write: Callable[[Any], Any]) -> Any:
        if request["Item"][Field.SK]["S"] == records[3].id:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem")
        return write(request)

    with pytest.raises(ClientError, match="ThrottlingException"):
        table(clock, "PutItem", refuses_one).put_fresh(records)

    stored = [record for record in records if installation.store.get(record.id)]
    assert records[3] not in stored
    assert set(records[:3] + records[4:8]) <= set(stored)


def test_a_bulk_write_that_arrives_late_resurrects_no_ended_job(
    installation: Installation, clock: FakeClock
) -> None:
    records = [samples.ready(number) for number in range(20)]
    late: list[Callable[[], Any]] = []

    def held_up_once(request: Any, write: Callable[[Any], Any]) -> Any:
        late.append(lambda: write(request))
        return write(request)

    table(clock, "PutItem", held_up_once).put_fresh(records)
    ended = [installation.store.update(_cancel(record)).record for record in records]
    for write in late:
        with suppress(ClientError):
            write()

    assert len(late) == len(records)
    assert [installation.store.get(record.id) for record in records] == ended


def _cancel(record: JobRecord) -> Change:
    return command_changes.cancel(record, now_ms=record.updated_ms + 1)


def test_keys_a_throttled_table_leaves_are_read_again(
    installation: Installation, clock: FakeClock
) -> None:
    records = [samples.ready(number) for number in range(10)]
    installation.store.put_fresh(records)

    store = table(clock, "BatchGetItem", reads_one_at_a_time)
    found = store.get_many([record.id for record in records])

    assert sorted(found, key=lambda record: record.id) == records


@pytest.mark.parametrize("code", ["InternalError", "InvalidParameterValue"])
def test_messages_that_are_refused_are_sent_again_by_themselves(
    installation: Installation, clock: FakeClock, code: str
) -> None:
    tries: Counter[str] = Counter()

    def refuses_bad(request: Any, send: Callable[[Any], Any]) -> Any:
        entries = request["Entries"]
        tries.update(entry["MessageBody"] for entry in entries)
        good = [entry for entry in entries if entry["MessageBody"] != "bad"]
        failed = [
            {"Id": entry["Id"], "Code": code, "SenderFault": False}
            for entry in entries
            if entry not in good
        ]
        return {**(send({**request, "Entries": good}) if good else {}), "Failed": failed}

    _, sqs = services(clock)
    urls = {LANE: clients().sqs.get_queue_url(QueueName="default-normal")["QueueUrl"]}
    queue = SqsMessages(Partly(sqs, "SendMessageBatch", refuses_bad), urls, clock)

    with pytest.raises(QueueUnavailable, match=f"refused 1 of 3 messages: {code}"):
        queue.send(LANE, [Outgoing(body=body) for body in ("a", "bad", "b")])

    assert tries["bad"] > 1
    assert (tries["a"], tries["b"]) == (1, 1)
    received = installation.messages.receive(
        LANE, limit=10, wait=timedelta(0), hidden=timedelta(seconds=60)
    )
    assert sorted(message.body for message in received) == ["a", "b"]
