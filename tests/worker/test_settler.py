"""The settler: consequences first, deletes last, ten to a request, one failure by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import QueueUnavailable
from remotejob.backends.memory import MemoryMessages, MemoryStore
from remotejob.domain.changes import Change
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.jobs.messaging.messages import Pending
from remotejob.ports import (
    Address,
    Channel,
    Installation,
    Outgoing,
    Received,
    Refused,
    Updated,
)
from remotejob.testing import FakeClock, memory_installation
from remotejob.testing.conformance import samples
from remotejob.worker.messages.settlements import Conclude, DeadLetter, Delete, Hide, Leave, Replace
from remotejob.worker.messages.settler import Settler
from tests.aws import aws_installation, counted_requests

LANE = Address("default", Channel.NORMAL)
COMPLETED = Address("default", Channel.COMPLETED)
FAILED = Address("default", Channel.FAILED)
DEAD = Address("default", Channel.DEAD_LETTER)
LEASE = timedelta(seconds=60)


class Messages(MemoryMessages):
    """Notes what is asked of it, and refuses sends to some channels."""

    def __init__(self, clock: FakeClock, calls: list[str]) -> None:
        super().__init__(clock)
        self.calls = calls
        self.refuses: set[Channel] = set()

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        self.calls.append(f"send {address.channel} {len(messages)}")
        if address.channel in self.refuses:
            raise QueueUnavailable("the queue is full")
        super().send(address, messages)

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        self.calls.append(f"delete {address.channel} {len(receipts)}")
        super().delete(address, receipts)


class Store(MemoryStore):
    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    def update(self, change: Change) -> Updated | Refused:
        self.calls.append(change.condition.name)
        return super().update(change)


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def messages(clock: FakeClock, calls: list[str]) -> Messages:
    return Messages(clock, calls)


@pytest.fixture
def installation(clock: FakeClock, messages: Messages, calls: list[str]) -> Installation:
    return replace(memory_installation(clock), messages=messages, store=Store(calls))


@pytest.fixture
def settler(installation: Installation) -> Settler:
    return Settler(installation)


def _received(installation: Installation, *bodies: str) -> list[Received]:
    installation.messages.send(LANE, [Outgoing(body=body) for body in bodies])
    return installation.messages.receive(LANE, limit=10, wait=timedelta(0), hidden=LEASE)


def _completed(number: int = 0) -> JobRecord:
    return samples.in_state(State.COMPLETED, id=samples.job_id(number))


def test_the_status_is_sent_before_the_message_is_deleted(
    settler: Settler, installation: Installation, calls: list[str], messages: Messages
) -> None:
    (message,) = _received(installation, "a")
    calls.clear()
    settler.add(Conclude(message=message, record=_completed()))
    settler.flush()

    assert calls == ["send completed 1", "delete normal 1"]
    assert messages.bodies(LANE) == []
    (status,) = messages.bodies(COMPLETED)
    assert json.loads(status)["id"] == samples.job_id()


def test_what_a_failed_job_owes_is_settled_between_status_and_delete(
    settler: Settler, installation: Installation, calls: list[str], messages: Messages
) -> None:
    (message,) = _received(installation, "a")
    record = samples.failed()
    installation.store.put_new(record)
    calls.clear()
    settler.add(Conclude(message=message, record=record))
    settler.flush()

    assert calls == ["send failed 1", "owed_by_run", "delete normal 1"]
    after = installation.store.get(record.id)
    assert after is not None
    assert after.owed is None


def test_a_status_that_is_not_taken_leaves_its_message_alone(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    good, bad, other = _received(installation, "good", "bad", "other")
    record = samples.failed(1)
    installation.store.put_new(record)
    messages.refuses = {Channel.FAILED}
    settler.add(Conclude(message=good, record=_completed(0)))
    settler.add(Conclude(message=bad, record=record))
    settler.add(Delete(message=other))
    settler.flush()

    assert messages.bodies(LANE) == ["bad"]
    assert installation.store.get(record.id) == record


def test_ten_jobs_take_one_status_request_and_one_delete(clock: FakeClock) -> None:
    with aws_installation(clock) as installation:
        received = _received(installation, *"abcdefghij")
        assert len(received) == 10
        settler = Settler(installation)
        for number, message in enumerate(received):
            settler.add(Conclude(message=message, record=_completed(number)))
        with counted_requests() as requests:
            settler.flush()

    assert requests == {"SendMessageBatch": 1, "DeleteMessageBatch": 1}


def test_a_job_concluded_twice_reports_once_and_both_messages_go(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    for message in _received(installation, "a", "a"):
        settler.add(Conclude(message=message, record=_completed()))
    settler.flush()

    assert len(messages.bodies(COMPLETED)) == 1
    assert messages.bodies(LANE) == []


def test_a_full_batch_is_due_at_once(settler: Settler, installation: Installation) -> None:
    received = _received(installation, *"abcdefghij")
    for message in received[:9]:
        settler.add(Delete(message=message))
    assert not settler.due(linger=LEASE)
    settler.add(Delete(message=received[9]))
    assert settler.due(linger=LEASE)


def test_one_that_lingered_long_enough_is_due(
    settler: Settler, installation: Installation, clock: FakeClock
) -> None:
    (message,) = _received(installation, "a")
    assert not settler.due(linger=timedelta(0))
    settler.add(Delete(message=message))
    clock.advance(LEASE - timedelta(milliseconds=1))
    assert not settler.due(linger=LEASE)
    clock.advance(timedelta(milliseconds=1))
    assert settler.due(linger=LEASE)
    settler.flush()
    assert not settler.due(linger=timedelta(0))
    assert not settler.any


def test_what_would_not_fill_a_batch_waits_for_more_until_it_has_lingered(
    settler: Settler, installation: Installation, clock: FakeClock, calls: list[str]
) -> None:
    received = [*_received(installation, *"abcdefghij"), *_received(installation, "k", "l")]
    for message in received:
        settler.add(Delete(message=message))
    calls.clear()

    settler.flush_due(linger=LEASE)
    assert calls == ["delete normal 10"]
    settler.flush_due(linger=LEASE)
    assert calls == ["delete normal 10"]
    clock.advance(LEASE)
    settler.flush_due(linger=LEASE)
    assert calls == ["delete normal 10", "delete normal 2"]


def test_flushing_nothing_asks_for_nothing(settler: Settler, calls: list[str]) -> None:
    settler.flush()
    assert calls == []


def test_a_replacement_stays_in_its_group(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    messages.send(LANE, [Outgoing(body="a", group="tenant")])
    (message,) = messages.receive(LANE, limit=1, wait=timedelta(0), hidden=LEASE)
    pending = Pending(job_id=samples.job_id(), task="work")
    settler.add(Replace(message=message, pending=pending, delay=timedelta(0)))
    settler.flush()

    (again,) = messages.receive(LANE, limit=1, wait=timedelta(0), hidden=LEASE)
    assert again.group == "tenant"


def test_a_replacement_is_sent_delayed_before_the_message_is_deleted(
    settler: Settler,
    installation: Installation,
    calls: list[str],
    messages: Messages,
    clock: FakeClock,
) -> None:
    (message,) = _received(installation, "a")
    calls.clear()
    pending = Pending(job_id=samples.job_id(), task="work", declined=2)
    settler.add(Replace(message=message, pending=pending, delay=LEASE))
    settler.flush()

    assert calls == ["send normal 1", "delete normal 1"]
    assert messages.bodies(LANE) == [pending.body()]
    assert messages.receive(LANE, limit=10, wait=timedelta(0), hidden=LEASE) == []
    clock.advance(LEASE)
    assert len(messages.receive(LANE, limit=10, wait=timedelta(0), hidden=LEASE)) == 1


def test_a_replacement_that_is_not_taken_leaves_the_message(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    (message,) = _received(installation, "a")
    messages.refuses = {Channel.NORMAL}
    pending = Pending(job_id=samples.job_id(), task="work")
    settler.add(Replace(message=message, pending=pending, delay=LEASE))
    settler.flush()

    assert messages.bodies(LANE) == ["a"]


def test_a_message_that_cannot_be_understood_is_set_aside_with_the_reason(
    settler: Settler,
    installation: Installation,
    messages: Messages,
    logged: pytest.LogCaptureFixture,
) -> None:
    (message,) = _received(installation, "gibberish")
    settler.add(DeadLetter(message=message, reason="it is not JSON"))
    settler.flush()

    assert messages.bodies(LANE) == []
    assert [json.loads(body) for body in messages.bodies(DEAD)] == [
        {"reason": "it is not JSON", "lane": "normal", "body": "gibberish"}
    ]
    assert any("it is not JSON" in record.getMessage() for record in logged.records)


def test_ten_long_messages_that_are_set_aside_fit_one_request(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    for message in _received(installation, *["ü" * 500_000] * 10):
        settler.add(DeadLetter(message=message, reason="r" * 5000))
    settler.flush()

    bodies = messages.bodies(DEAD)
    assert len(bodies) == 10
    assert sum(len(body.encode()) for body in bodies) <= 1024 * 1024


def test_a_message_that_is_not_set_aside_stays(
    settler: Settler, installation: Installation, messages: Messages
) -> None:
    (message,) = _received(installation, "gibberish")
    messages.refuses = {Channel.DEAD_LETTER}
    settler.add(DeadLetter(message=message, reason="it is not JSON"))
    settler.flush()
    assert messages.bodies(LANE) == ["gibberish"]


def test_hidden_messages_come_back_after_their_spans(
    settler: Settler, installation: Installation, messages: Messages, clock: FakeClock
) -> None:
    now, later = _received(installation, "now", "later")
    settler.add(Hide(message=now, span=timedelta(0)))
    settler.add(Hide(message=later, span=LEASE * 2))
    settler.flush()

    def visible() -> list[str]:
        received = messages.receive(LANE, limit=10, wait=timedelta(0), hidden=LEASE * 10)
        return [message.body for message in received]

    assert visible() == ["now"]
    clock.advance(LEASE * 2)
    assert visible() == ["later"]


def test_a_message_left_to_another_run_is_not_touched(
    settler: Settler, installation: Installation, calls: list[str], messages: Messages
) -> None:
    (message,) = _received(installation, "a")
    calls.clear()
    settler.add(Leave(message=message))
    settler.flush()
    assert calls == []
    assert messages.bodies(LANE) == ["a"]
