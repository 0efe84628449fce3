"""What is to be saved: only what is kept, the last of each, and nothing lost by a failure."""

from __future__ import annotations

import threading

import pytest
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.sqs.models import Message

from remotejob.local.gaps.dynamodb import LOCK
from remotejob.local.keeping.journal import Batch, Journal

PLACE = (DynamoType({"S": "job"}), None)


@pytest.fixture
def journal() -> Journal:
    made = Journal()
    made.keep(tables=["table"], queues=["queue"], buckets=["bucket"])
    return made


def item(number: int) -> Item:
    return Item(*PLACE, {"pk": {"S": "job"}, "number": {"N": str(number)}})


def test_only_the_last_change_of_each_is_left(journal: Journal) -> None:
    for number in range(1000):
        journal.item("table", PLACE, item(number))
        journal.message("queue", Message("id", str(number)), returns_at=0)
        journal.object("bucket", "key")

    batch = journal.cut()

    ((_, attributes),) = batch.items.items()
    ((_, row),) = batch.messages.items()
    assert attributes == {"pk": {"S": "job"}, "number": {"N": "999"}}
    assert row is not None
    assert row.message.body == "999"
    assert list(batch.objects) == [("bucket", "key")]
    assert not journal.cut()


def test_an_item_that_moto_changes_in_place_is_saved_as_it_was_at_the_cut(journal: Journal) -> None:
    changing = item(1)
    journal.item("table", PLACE, changing)
    batch = journal.cut()

    changing.attrs["number"] = DynamoType({"N": "2"})

    ((_, attributes),) = batch.items.items()
    assert attributes == {"pk": {"S": "job"}, "number": {"N": "1"}}


def test_what_is_not_kept_is_not_collected(journal: Journal) -> None:
    journal.item("other", PLACE, item(1))
    journal.message("other", Message("id", "body"), returns_at=0)
    journal.message_gone("other", "id")
    journal.object("other", "key")

    assert not journal.cut()


def test_a_batch_that_was_not_saved_does_not_replace_newer_changes(journal: Journal) -> None:
    journal.item("table", PLACE, item(1))
    journal.message("queue", Message("first", "body"), returns_at=0)
    failed = journal.cut()
    journal.item("table", PLACE, None)

    journal.put_back(failed)

    batch = journal.cut()
    assert list(batch.items.values()) == [None]
    assert list(batch.messages) == [("queue", "first")]


def test_a_cut_waits_for_the_end_of_a_transaction(journal: Journal) -> None:
    other = (DynamoType({"S": "other"}), None)
    cuts: list[Batch] = []
    thread = threading.Thread(target=lambda: cuts.append(journal.cut()))
    # as each request of DynamoDB does
    with LOCK:
        journal.item("table", PLACE, item(1))
        thread.start()
        thread.join(0.2)
        journal.item("table", other, item(2))
    thread.join()

    (batch,) = cuts
    assert len(batch.items) == 2
