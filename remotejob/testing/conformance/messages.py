"""The suite for message queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from remotejob.ports import (
    QUEUE_CHANNELS,
    UPLOAD_CHANNELS,
    Address,
    Channel,
    Depth,
    Outgoing,
    Received,
    WorkQueue,
    upload_address,
)
from remotejob.testing.fakes import FakeClock

PassTime = Callable[[timedelta], None]
"""Lets this much of the queue's time pass."""

_LANE = Address("default", Channel.NORMAL)
_OTHER = Address("default", Channel.HIGH)
_NOTHING = timedelta(0)
_LEASE = timedelta(seconds=60)
_SECOND = timedelta(seconds=1)
_ROUNDING = timedelta(milliseconds=1)
"""Queues may deliver a message exactly at the end of its delay or just after it."""


class MessagesConformance:
    """Tests for a `WorkQueue`. Subclass it with fixtures `messages`, whose queue "default" is empty
    for each test, and `clock`, which that queue reads."""

    @pytest.fixture
    def pass_time(self, clock: FakeClock) -> PassTime:
        return clock.advance

    def test_depth_tells_visible_hidden_and_delayed_messages_apart(
        self, messages: WorkQueue
    ) -> None:
        messages.send(_LANE, [Outgoing(body="later", delay=timedelta(minutes=5))])
        _send(messages, "a", "b", "c")
        messages.receive(_LANE, limit=1, wait=_NOTHING, hidden=_LEASE)

        assert messages.depth(_LANE) == Depth(visible=2, hidden=1, delayed=1)
        assert messages.depth(_OTHER) == Depth(visible=0, hidden=0, delayed=0)

    def test_a_message_that_was_sent_is_received(self, messages: WorkQueue) -> None:
        _send(messages, "körper {} \n")

        (received,) = _receive(messages)

        assert received.body == "körper {} \n"
        assert received.address == _LANE
        assert received.receives == 1

    def test_a_message_tells_when_it_was_sent(
        self, messages: WorkQueue, clock: FakeClock, pass_time: PassTime
    ) -> None:
        before = clock.now_ms()
        _send(messages, "a")
        after = clock.now_ms()
        pass_time(_LEASE)

        (received,) = _receive(messages)

        # queues record this time to the second or finer
        assert before - 1000 <= received.sent_ms <= after + 1000

    def test_an_empty_queue_gives_nothing(self, messages: WorkQueue) -> None:
        assert _receive(messages) == []

    def test_queues_are_apart(self, messages: WorkQueue) -> None:
        _send(messages, "a")

        assert _receive(messages, address=_OTHER) == []
        assert _bodies(_receive(messages)) == ["a"]

    @pytest.mark.parametrize(
        "address",
        [
            *(Address("default", channel) for channel in QUEUE_CHANNELS),
            *(upload_address(channel) for channel in UPLOAD_CHANNELS),
        ],
        ids=lambda address: str(address.channel),
    )
    def test_every_channel_takes_messages(self, messages: WorkQueue, address: Address) -> None:
        _send(messages, "a", address=address)

        (received,) = _receive(messages, address=address)
        assert received.address == address

    def test_more_messages_than_fit_a_request_are_sent(self, messages: WorkQueue) -> None:
        bodies = [f"{number:02d}" for number in range(25)]
        _send(messages, *bodies)

        assert sorted(_bodies(_drained(messages))) == bodies

    def test_messages_of_one_body_are_so_many_messages(self, messages: WorkQueue) -> None:
        _send(messages, "same", "same")

        assert _bodies(_drained(messages)) == ["same", "same"]

    def test_a_message_has_the_same_id_at_each_receive_and_no_other_has_it(
        self, messages: WorkQueue
    ) -> None:
        _send(messages, "a", "a")

        received = _receive(messages)
        messages.hide(_LANE, [one.receipt for one in received], _NOTHING)
        again = _receive(messages)

        assert {one.id for one in again} == {one.id for one in received}
        assert len({one.id for one in received}) == 2
        assert all(one.id for one in received)

    def test_a_message_tells_its_group_each_time_it_is_received(self, messages: WorkQueue) -> None:
        group = "customer-17/!~" + "x" * 114  # 128 characters, the most there may be
        messages.send(_LANE, [Outgoing(body="alone", group=group)])
        (received,) = _receive(messages)
        messages.hide(_LANE, [received.receipt], _NOTHING)
        (again,) = _receive(messages)

        assert received.group == again.group == group

    def test_messages_of_several_groups_and_of_none_are_sent_together(
        self, messages: WorkQueue
    ) -> None:
        groups = [None, "a", "b"] * 4
        messages.send(_LANE, [Outgoing(body=str(group), group=group) for group in groups])

        received = _drained(messages)
        assert len(received) == len(groups)
        assert all(message.body == str(message.group) for message in received)

    def test_a_hidden_message_holds_back_none_of_its_group(self, messages: WorkQueue) -> None:
        messages.send(_LANE, [Outgoing(body=body, group="a") for body in "12"])
        (first,) = _receive(messages, limit=1)

        (second,) = _receive(messages)
        assert {first.body, second.body} == {"1", "2"}

    def test_sending_nothing_does_nothing(self, messages: WorkQueue) -> None:
        messages.send(_LANE, [])

        assert _receive(messages) == []

    def test_no_more_messages_come_than_asked_for(self, messages: WorkQueue) -> None:
        _send(messages, *"abcde")

        first = _receive(messages, limit=3)
        assert len(first) <= 3
        rest = _drained(messages)
        assert sorted(_bodies([*first, *rest])) == list("abcde")

    def test_a_received_message_is_hidden_until_its_timeout_ends(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a")
        _receive(messages, hidden=_LEASE)

        pass_time(_LEASE - _SECOND)
        assert _receive(messages) == []
        pass_time(_SECOND + _ROUNDING)
        (again,) = _receive(messages)
        assert again.body == "a"
        assert again.receives == 2

    def test_a_message_keeps_the_time_it_was_sent(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a")
        (first,) = _receive(messages, hidden=_LEASE)
        pass_time(_LEASE + _SECOND)
        (again,) = _receive(messages)

        assert again.sent_ms == first.sent_ms

    def test_a_delayed_message_comes_at_its_time(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        messages.send(_LANE, [Outgoing(body="later", delay=_LEASE), Outgoing(body="now")])
        (now,) = _receive(messages)
        assert now.body == "now"
        messages.delete(_LANE, [now.receipt])

        pass_time(_LEASE - _SECOND)
        assert _receive(messages) == []
        pass_time(_SECOND + _ROUNDING)
        assert _bodies(_receive(messages)) == ["later"]

    def test_a_delay_is_rounded_up_to_seconds(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        messages.send(_LANE, [Outgoing(body="a", delay=timedelta(milliseconds=1500))])

        pass_time(timedelta(milliseconds=1600))
        assert _receive(messages) == []
        pass_time(timedelta(milliseconds=400) + _ROUNDING)
        assert _bodies(_receive(messages)) == ["a"]

    def test_the_longest_delay_is_taken(self, messages: WorkQueue, pass_time: PassTime) -> None:
        longest = messages.capabilities.max_delay
        messages.send(_LANE, [Outgoing(body="a", delay=longest)])

        pass_time(longest - _SECOND)
        assert _receive(messages) == []
        pass_time(_SECOND + _ROUNDING)
        assert _bodies(_receive(messages)) == ["a"]

    def test_a_deleted_message_never_comes_again(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a", "b")
        gone, kept = _drained(messages)
        messages.delete(_LANE, [gone.receipt])

        pass_time(10 * _LEASE)
        assert _bodies(_drained(messages)) == [kept.body]

    def test_more_messages_than_fit_a_request_are_deleted(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, *(f"{number}" for number in range(23)))
        messages.delete(_LANE, [message.receipt for message in _drained(messages)])

        pass_time(_LEASE + _ROUNDING)
        assert _receive(messages) == []

    def test_deleting_twice_is_no_error(self, messages: WorkQueue) -> None:
        _send(messages, "a", "b")
        received = _drained(messages)
        messages.delete(_LANE, [received[0].receipt])

        messages.delete(_LANE, [message.receipt for message in received])

    def test_hiding_a_message_that_is_gone_is_no_error_and_hides_the_others(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a", "b")
        gone, kept = _drained(messages)
        messages.delete(_LANE, [gone.receipt])

        messages.hide(_LANE, [gone.receipt, kept.receipt], 2 * _LEASE)

        pass_time(_LEASE + _ROUNDING)
        assert _receive(messages) == []
        pass_time(_LEASE + _ROUNDING)
        assert _bodies(_receive(messages)) == [kept.body]

    def test_receipts_of_an_earlier_receive_raise_nothing(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a")
        (stale,) = _receive(messages, hidden=_SECOND)
        pass_time(_SECOND + _ROUNDING)
        (fresh,) = _receive(messages)

        messages.hide(_LANE, [stale.receipt], _LEASE)
        messages.delete(_LANE, [fresh.receipt])
        messages.delete(_LANE, [stale.receipt])

        pass_time(2 * _LEASE)
        assert _receive(messages) == []

    def test_hide_extends_the_timeout_from_now(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        _send(messages, "a")
        (received,) = _receive(messages, hidden=_LEASE)
        pass_time(_LEASE / 2)
        messages.hide(_LANE, [received.receipt], _LEASE)

        pass_time(_LEASE - _SECOND)
        assert _receive(messages) == []
        pass_time(_SECOND + _ROUNDING)
        assert _bodies(_receive(messages)) == ["a"]

    def test_a_message_is_hidden_so_long_from_its_receive_and_no_longer(
        self, messages: WorkQueue, pass_time: PassTime
    ) -> None:
        longest = messages.capabilities.max_hidden
        _send(messages, "a")
        pass_time(_LEASE)
        (received,) = _receive(messages, hidden=_LEASE)
        messages.hide(_LANE, [received.receipt], longest / 2)
        pass_time(longest / 2 - _SECOND)
        messages.hide(_LANE, [received.receipt], longest / 2 + _SECOND)

        messages.hide(_LANE, [received.receipt], longest / 2 + 2 * _SECOND)

        pass_time(longest / 2)
        assert _receive(messages) == []
        pass_time(_SECOND + _ROUNDING)
        again = _receive(messages, hidden=_LEASE)
        assert _bodies(again) == ["a"]
        # the limit restarts at each receive
        messages.hide(_LANE, [again[0].receipt], longest)
        pass_time(longest - _SECOND)
        assert _receive(messages) == []

    def test_hide_for_no_time_makes_messages_visible_at_once(self, messages: WorkQueue) -> None:
        _send(messages, *(f"{number:02d}" for number in range(12)))
        received = _drained(messages)

        messages.hide(_LANE, [message.receipt for message in received], _NOTHING)

        assert sorted(_bodies(_drained(messages))) == sorted(_bodies(received))

    def test_receives_are_counted(self, messages: WorkQueue) -> None:
        _send(messages, "a")
        counts = []
        for _ in range(3):
            (received,) = _receive(messages)
            counts.append(received.receives)
            messages.hide(_LANE, [received.receipt], _NOTHING)

        assert counts == [1, 2, 3]

    def test_settling_nothing_does_nothing(self, messages: WorkQueue) -> None:
        _send(messages, "a")
        messages.delete(_LANE, [])
        messages.hide(_LANE, [], _LEASE)

        assert _bodies(_receive(messages)) == ["a"]

    def test_a_receive_that_may_wait_returns_at_once_what_is_there(
        self, messages: WorkQueue
    ) -> None:
        _send(messages, "a")

        received = messages.receive(_LANE, limit=10, wait=20 * _SECOND, hidden=_LEASE)

        assert _bodies(received) == ["a"]

    def test_of_concurrent_receives_each_message_goes_to_one(self, messages: WorkQueue) -> None:
        bodies = [f"{number:02d}" for number in range(40)]
        _send(messages, *bodies)

        with ThreadPoolExecutor(8) as pool:
            polls = list(pool.map(lambda _: _drained(messages), range(8)))

        assert sorted(body for poll in polls for body in _bodies(poll)) == bodies

    def test_capabilities_say_what_is_possible(self, messages: WorkQueue) -> None:
        can = messages.capabilities

        assert can.batch >= 1
        assert _NOTHING < can.max_delay < can.retention
        assert _LEASE < can.max_hidden <= can.retention


def _send(messages: WorkQueue, *bodies: str, address: Address = _LANE) -> None:
    messages.send(address, [Outgoing(body=body) for body in bodies])


def _receive(
    messages: WorkQueue,
    *,
    limit: int = 10,
    hidden: timedelta = _LEASE,
    address: Address = _LANE,
) -> list[Received]:
    return messages.receive(address, limit=limit, wait=_NOTHING, hidden=hidden)


def _drained(messages: WorkQueue) -> list[Received]:
    """All visible messages: one receive may return fewer than there are."""
    received: list[Received] = []
    while more := _receive(messages):
        received += more
    return received


def _bodies(received: Sequence[Received]) -> list[str]:
    return [message.body for message in received]
