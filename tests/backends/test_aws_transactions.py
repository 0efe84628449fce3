"""Requests that DynamoDB refuses since others are at the same items: sent again, a few times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from unittest.mock import patch

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto.core.models import botocore_stubber

from remotejob import StoreUnavailable
from remotejob.domain.conditions import Item
from remotejob.domain.transactions import Conflict, Put, put_record
from remotejob.ports import JobStore, Refused, Updated
from remotejob.testing import FakeClock
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import SLOT, claim
from tests.aws import TRANSPORTS, aws_installation, emitters

TRIES = 6
PASSING = ("TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")
WRITES: dict[str, tuple[str, Callable[[JobStore], object]]] = {
    "update": ("UpdateItem", lambda store: store.update(claim())),
    "put_new": ("PutItem", lambda store: store.put_new(samples.ready(1))),
    "put_note": ("PutItem", lambda store: store.put_note("job", "log#1", "text", expires_s=1)),
}
READS: dict[str, tuple[str, Callable[[JobStore], object]]] = {
    "get": ("GetItem", lambda store: store.get(samples.job_id())),
    "item": ("GetItem", lambda store: store.item(SLOT)),
    "items": ("Query", lambda store: list(store.items(SLOT.partition, "lock#"))),
    "notes": ("Query", lambda store: list(store.notes("job", "log#"))),
}


@pytest.fixture(params=TRANSPORTS)
def store(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[JobStore]:
    with aws_installation(clock, transport=request.param) as installation:
        installation.store.put_new(samples.ready())
        yield installation.store


class _Raw(BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.getvalue()


@contextmanager
def _refusing(
    operation: str, answer: dict[str, Any], *, times: int, status: int = 400
) -> Iterator[list[dict[str, Any]]]:
    """Let the first requests of an operation be refused; all of them, as they were sent."""
    sent: list[dict[str, Any]] = []

    def answered(event_name: str, request: Any, **_: object) -> Any:
        if not event_name.endswith(f".{operation}"):
            return botocore_stubber(event_name, request)
        sent.append(json.loads(request.body or b"{}"))
        if len(sent) > times:
            return botocore_stubber(event_name, request)
        body = json.dumps({"message": "refused", **answer}).encode()
        return AWSResponse(request.url, status, HTTPHeaders(), _Raw(body))

    for events in emitters():
        # botocore calls every hook, also after one has answered: ours must be alone
        events.unregister("before-send", botocore_stubber)
        events.register("before-send", answered)
    try:
        # botocore's own retries wait for nothing
        with patch("time.sleep"):
            yield sent
    finally:
        for events in emitters():
            events.unregister("before-send", answered)
            events.register("before-send", botocore_stubber)


def _error(name: str, **more: object) -> dict[str, Any]:
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", **more}


def _cancelled(*codes: str) -> dict[str, Any]:
    reasons = [{"Code": code, "Message": code} for code in codes]
    return _error("TransactionCanceledException", CancellationReasons=reasons)


def _transact(store: JobStore) -> Conflict | None:
    return store.transact([put_record(samples.ready(1)), Put(key=SLOT, content={})])


@pytest.mark.parametrize(("operation", "write"), WRITES.values(), ids=WRITES)
def test_a_write_that_meets_a_transaction_is_tried_again(
    store: JobStore, clock: FakeClock, operation: str, write: Callable[[JobStore], object]
) -> None:
    began = clock.now_ms()
    with _refusing(operation, _error("TransactionConflictException"), times=TRIES - 1) as sent:
        outcome = write(store)

    assert len(sent) == TRIES
    assert not isinstance(outcome, Refused)
    assert clock.now_ms() > began, "it waited in between"


@pytest.mark.parametrize(("operation", "write"), WRITES.values(), ids=WRITES)
def test_a_write_that_meets_transactions_each_time_gives_up(
    store: JobStore, operation: str, write: Callable[[JobStore], object]
) -> None:
    with (
        _refusing(operation, _error("TransactionConflictException"), times=99) as sent,
        pytest.raises(StoreUnavailable, match="another transaction at each of 6 tries; try again"),
    ):
        write(store)

    assert len(sent) == TRIES
    assert store.get(samples.job_id()) == samples.ready()
    assert store.get(samples.job_id(1)) is None
    assert list(store.notes("job", "log#")) == []


def test_a_write_tried_again_is_judged_by_its_condition(store: JobStore) -> None:
    claimed = store.update(claim())
    assert isinstance(claimed, Updated)

    with _refusing("UpdateItem", _error("TransactionConflictException"), times=2) as sent:
        assert store.update(claim(run_id="e" * 16)) == Refused(claimed.record)
    assert len(sent) == 3


@pytest.mark.parametrize(
    "codes",
    [*((code, "None") for code in PASSING), ("None", "TransactionConflict"), PASSING[:2]],
    ids="+".join,
)
def test_a_transaction_cancelled_for_a_passing_reason_is_tried_again(
    store: JobStore, clock: FakeClock, codes: Sequence[str]
) -> None:
    began = clock.now_ms()
    with _refusing("TransactWriteItems", _cancelled(*codes), times=TRIES - 1) as sent:
        assert _transact(store) is None

    assert len(sent) == TRIES
    assert store.get(samples.job_id(1)) == samples.ready(1)
    assert clock.now_ms() > began, "it waited in between"


def test_a_transaction_that_meets_others_each_time_gives_up(store: JobStore) -> None:
    reasons = _cancelled("None", "TransactionConflict")
    with (
        _refusing("TransactWriteItems", reasons, times=99) as sent,
        pytest.raises(StoreUnavailable, match="met others at each of 6 tries; try again"),
    ):
        _transact(store)

    assert len(sent) == TRIES
    assert store.get(samples.job_id(1)) is None
    assert store.item(SLOT) is None


@pytest.mark.parametrize(
    "codes",
    [
        ("ValidationError", "None"),
        ("ItemCollectionSizeLimitExceeded", "None"),
        ("TransactionConflict", "ValidationError"),
    ],
    ids="+".join,
)
def test_a_transaction_cancelled_for_another_reason_raises_at_once(
    store: JobStore, codes: Sequence[str]
) -> None:
    with (
        _refusing("TransactWriteItems", _cancelled(*codes), times=99) as sent,
        pytest.raises(ClientError, match="TransactionCanceledException"),
    ):
        _transact(store)

    assert len(sent) == 1


def test_a_transaction_that_is_not_understood_raises_at_once(store: JobStore) -> None:
    with (
        _refusing("TransactWriteItems", _error("ValidationException"), times=99) as sent,
        pytest.raises(ClientError, match="ValidationException"),
    ):
        _transact(store)

    assert len(sent) == 1


def test_a_step_that_is_refused_counts_before_one_that_met_others(store: JobStore) -> None:
    refused = _cancelled("TransactionConflict", "ConditionalCheckFailed", "ConditionalCheckFailed")
    met = {"pk": {"S": "place"}, "sk": {"S": "name"}, "j_blocked": {"SS": ["b", "a"]}}
    refused["CancellationReasons"][1]["Item"] = {**met, "j_due": {"N": "7"}}

    with _refusing("TransactWriteItems", refused, times=99) as sent:
        conflict = _transact(store)

    item: Item = {"pk": "place", "sk": "name", "j_blocked": frozenset("ab"), "j_due": 7}
    assert conflict == Conflict(1, item)
    assert len(sent) == 1


def test_a_transaction_whose_answer_is_lost_is_the_same_one_when_it_is_sent_again(
    store: JobStore,
) -> None:
    lost = _error("InternalServerError")
    with _refusing("TransactWriteItems", lost, times=1, status=500) as sent:
        assert _transact(store) is None

    # what was done under this token is not done again, nor refused by its own effect
    first, again = sent
    assert first["ClientRequestToken"] == again["ClientRequestToken"]
    assert first == again


def test_a_transaction_tried_again_after_it_was_cancelled_is_another(store: JobStore) -> None:
    reasons = _cancelled("None", "TransactionConflict")
    with _refusing("TransactWriteItems", reasons, times=1) as sent:
        assert _transact(store) is None

    assert len({request["ClientRequestToken"] for request in sent}) == 2


@pytest.mark.parametrize(("operation", "read"), READS.values(), ids=READS)
def test_what_is_read_is_strongly_consistent(
    store: JobStore, operation: str, read: Callable[[JobStore], object]
) -> None:
    # moto always is; DynamoDB only when it is asked to be
    with _refusing(operation, {}, times=0) as sent:
        read(store)

    assert [request.get("ConsistentRead") for request in sent] == [True]
