"""Requests of which AWS takes a part: the rest is sent again, a few times, and then named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from remotejob import QueueUnavailable
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock
from remotejob.testing.conformance import samples
from tests.aws import TABLE, aws_installation, clients

LANE = Address("default", Channel.NORMAL)
Answer = Callable[..., Any]


@pytest.fixture
def installation() -> Iterator[Installation]:
    with aws_installation(FakeClock()) as installation:
        yield installation


def _writes_one_at_a_time(write: Answer) -> Answer:
    """A throttled table: of each batch the first item is taken."""

    def answer(RequestItems: dict[str, list[Any]]) -> Any:  # noqa: N803 (boto3's name)
        first, *rest = RequestItems[TABLE]
        write(RequestItems={TABLE: [first]})
        return {"UnprocessedItems": {TABLE: rest} if rest else {}}

    return answer


def _refuses(what: set[str], code: str, send: Answer, tries: Counter[str]) -> Answer:
    """A queue that refuses messages of some bodies."""

    def answer(QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803 (boto3's names)
        tries.update(entry["MessageBody"] for entry in Entries)
        good = [entry for entry in Entries if entry["MessageBody"] not in what]
        bad = [entry for entry in Entries if entry["MessageBody"] in what]
        answer = send(QueueUrl=QueueUrl, Entries=good) if good else {}
        failed = [{"Id": entry["Id"], "Code": code, "SenderFault": False} for entry in bad]
        return {**answer, "Failed": failed}

    return answer


def test_records_a_throttled_table_leaves_are_written_again(installation: Installation) -> None:
    client = clients().dynamodb
    records = [samples.ready(number) for number in range(6)]

    with patch.object(client, "batch_write_item", _writes_one_at_a_time(client.batch_write_item)):
        assert installation.store.put_fresh(records) == []

    assert all(installation.store.get(record.id) for record in records)


def test_records_it_never_takes_are_named(installation: Installation) -> None:
    client = clients().dynamodb
    records = [samples.ready(number) for number in range(30)]

    with patch.object(client, "batch_write_item", _writes_one_at_a_time(client.batch_write_item)):
        unstored = installation.store.put_fresh(records)

    stored = [record.id for record in records if installation.store.get(record.id)]
    assert sorted([*stored, *unstored]) == [record.id for record in records]
    assert unstored


def test_keys_a_throttled_table_leaves_are_read_again(installation: Installation) -> None:
    client = clients().dynamodb
    records = [samples.ready(number) for number in range(10)]
    installation.store.put_fresh(records)
    read = client.batch_get_item

    def one_at_a_time(RequestItems: dict[str, Any]) -> Any:  # noqa: N803 (boto3's name)
        first, *rest = RequestItems[TABLE]["Keys"]
        asked: Any = {**RequestItems[TABLE], "Keys": [first]}
        answer: Any = read(RequestItems={TABLE: asked})
        left = {TABLE: {"Keys": rest}} if rest else {}
        return {**answer, "UnprocessedKeys": left}

    with patch.object(client, "batch_get_item", one_at_a_time):
        found = installation.store.get_many([record.id for record in records])

    assert sorted(found, key=lambda record: record.id) == records


def test_messages_that_are_refused_are_sent_again_by_themselves(
    installation: Installation,
) -> None:
    client = clients().sqs
    tries: Counter[str] = Counter()
    refuses = _refuses({"bad"}, "InternalError", client.send_message_batch, tries)

    with (
        patch.object(client, "send_message_batch", refuses),
        pytest.raises(QueueUnavailable, match="refused 1 of 3 messages: InternalError"),
    ):
        installation.messages.send(LANE, [Outgoing(body=body) for body in ("a", "bad", "b")])

    assert tries["bad"] > 1
    assert (tries["a"], tries["b"]) == (1, 1)
    received = installation.messages.receive(
        LANE, limit=10, wait=timedelta(0), hidden=timedelta(seconds=60)
    )
    assert sorted(message.body for message in received) == ["a", "b"]
