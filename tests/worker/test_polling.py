"""Polling: lanes share the worker's room by weight, and an empty lane holds back no other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from queue import SimpleQueue
from unittest.mock import patch

import pytest

from remotejob.domain.priority import Lane, Order
from remotejob.testing.fakes import seeded_entropy
from remotejob.worker.lifecycle.polling import WEIGHTS, Polling, Turn, arranged

LONG, SHORT = 3600.0, 0.001
"""Seconds a job takes: too long to fetch ahead for, and short enough."""
STUCK = 10
"""Seconds until a thread that should have gone on fails the test."""

Event = tuple[str, str]


class Watched(threading.Condition):
    """Tells when a thread begins to wait."""

    def __init__(self, events: SimpleQueue[Event]) -> None:
        super().__init__()
        self.events = events

    def wait(self, timeout: float | None = None) -> bool:
        self.events.put(("waits", threading.current_thread().name))
        return super().wait(timeout)


@pytest.fixture
def events() -> SimpleQueue[Event]:
    return SimpleQueue()


def _watched(events: SimpleQueue[Event], *, concurrency: int) -> Polling:
    with patch("remotejob.worker.lifecycle.polling.threading.Condition", lambda: Watched(events)):
        return Polling(concurrency=concurrency)


def _until(events: SimpleQueue[Event], what: str, who: str | None = None) -> str:
    """The name of the thread that does it; what others do meanwhile is passed over."""
    while True:
        happened, name = events.get(timeout=STUCK)
        if happened == what and who in (None, name):
            return name


def _turn(polling: Polling, lane: Lane) -> Turn:
    """A turn that must come at once."""
    turns: SimpleQueue[Turn | None] = SimpleQueue()
    thread = threading.Thread(target=lambda: turns.put(polling.turn(lane)), daemon=True)
    thread.start()
    thread.join(STUCK)
    assert not thread.is_alive(), f"lane {lane} has no turn"
    turn = turns.get_nowait()
    assert turn is not None
    return turn


def _warm(polling: Polling, lane: Lane, *, seconds: float = LONG, given: int = 1) -> None:
    """Let a lane have given messages, which are done with."""
    turn = _turn(polling, lane)
    assert polling.received(lane, turn, given) == given
    for _ in range(given):
        polling.finished(seconds)


@pytest.fixture
def full(events: SimpleQueue[Event]) -> Iterator[Polling]:
    """Polling with room for one message, while all lanes are full."""
    polling = _watched(events, concurrency=1)
    for lane in Lane:
        _warm(polling, lane)
    # the room is taken until all lanes ask
    turn = _turn(polling, Lane.HIGH)
    polling.received(Lane.HIGH, turn, 1)

    def poll(lane: Lane) -> None:
        while (turn := polling.turn(lane)) is not None:
            polling.received(lane, turn, turn.limit)
            events.put(("received", lane))

    threads = [threading.Thread(target=poll, args=(lane,), name=lane, daemon=True) for lane in Lane]
    for thread in threads:
        thread.start()
        _until(events, "waits", thread.name)
    yield polling
    polling.close()
    for thread in threads:
        thread.join(STUCK)
        assert not thread.is_alive()


def test_while_all_lanes_are_full_turns_go_by_weight_and_low_never_starves(
    full: Polling, events: SimpleQueue[Event]
) -> None:
    rounds = 3
    turns: list[str] = []
    for _ in range(rounds * sum(WEIGHTS.values())):
        full.finished(LONG)
        lane = _until(events, "received")
        # it asks again before there is room again
        _until(events, "waits", lane)
        turns.append(lane)

    assert Counter(turns) == {lane: rounds * weight for lane, weight in WEIGHTS.items()}
    period = sum(WEIGHTS.values())
    for start in range(0, len(turns), period):
        assert Lane.LOW in turns[start : start + period]


def test_the_high_lane_weighs_most() -> None:
    assert WEIGHTS[Lane.HIGH] > WEIGHTS[Lane.NORMAL] > WEIGHTS[Lane.LOW] > 0


def test_cold_lanes_reserve_nothing() -> None:
    polling = Polling(concurrency=1)

    turns = [_turn(polling, lane) for lane in Lane]

    assert [(turn.limit, turn.hot) for turn in turns] == [(1, False)] * 3


def test_what_comes_beyond_the_room_is_not_kept() -> None:
    polling = Polling(concurrency=3)
    high, low = _turn(polling, Lane.HIGH), _turn(polling, Lane.LOW)

    assert polling.received(Lane.HIGH, high, 2) == 2
    assert polling.received(Lane.LOW, low, 3) == 1


@pytest.mark.parametrize(("given", "hot"), [(4, True), (3, False), (0, False)])
def test_a_lane_is_hot_after_all_that_was_asked_for(*, given: int, hot: bool) -> None:
    polling = Polling(concurrency=4)
    _warm(polling, Lane.LOW, given=4)
    turn = _turn(polling, Lane.LOW)
    assert turn == Turn(limit=4, hot=True)
    assert polling.received(Lane.LOW, turn, given) == given
    for _ in range(given):
        polling.finished(LONG)

    assert _turn(polling, Lane.LOW) == Turn(limit=4, hot=hot)


@pytest.mark.parametrize(("others", "hot"), [(1, True), (0, False)])
def test_a_lane_that_gave_fewer_is_hot_while_another_gives_too(*, others: int, hot: bool) -> None:
    polling = Polling(concurrency=4)
    _warm(polling, Lane.HIGH, given=others)
    _warm(polling, Lane.LOW, given=2)

    turn = _turn(polling, Lane.LOW)
    assert turn == Turn(limit=4, hot=hot)
    polling.received(Lane.LOW, turn, 0)

    _warm(polling, Lane.LOW, given=2)
    _warm(polling, Lane.HIGH, given=0)
    assert _turn(polling, Lane.LOW) == Turn(limit=4, hot=False)


def test_lanes_that_give_fewer_than_asked_take_no_room_from_one_another(
    events: SimpleQueue[Event],
) -> None:
    polling = _watched(events, concurrency=4)
    for lane in Lane:
        _warm(polling, lane, given=2)
    turn = _turn(polling, Lane.HIGH)
    low: SimpleQueue[tuple[int, int]] = SimpleQueue()

    def ask() -> None:
        if (asked := polling.turn(Lane.LOW)) is not None:
            low.put((asked.limit, polling.received(Lane.LOW, asked, asked.limit)))

    thread = threading.Thread(target=ask, name="low", daemon=True)
    thread.start()
    _until(events, "waits", "low")

    assert polling.received(Lane.HIGH, turn, 3) == 3
    assert low.get(timeout=STUCK) == (1, 1)
    thread.join(STUCK)


def test_what_a_lane_did_not_give_is_free_for_the_others() -> None:
    polling = Polling(concurrency=4)
    _warm(polling, Lane.HIGH, given=2)

    _turn(polling, Lane.HIGH)

    assert _turn(polling, Lane.LOW).limit == 4


def test_a_lane_that_gave_a_little_has_its_turn_by_weight(events: SimpleQueue[Event]) -> None:
    polling = _watched(events, concurrency=2)
    for lane in (Lane.LOW, Lane.HIGH):
        _warm(polling, lane)
    held = _turn(polling, Lane.HIGH)
    polling.received(Lane.HIGH, held, 2)
    order: list[Lane] = []

    def ask(lane: Lane) -> None:
        turn = polling.turn(lane)
        assert turn is not None
        order.append(lane)
        # the room of both is taken, so that the other one has to wait for its turn
        polling.received(lane, turn, 2)

    threads = [
        threading.Thread(target=ask, args=(lane,), name=lane, daemon=True)
        for lane in (Lane.LOW, Lane.HIGH)
    ]
    for thread in threads:
        thread.start()
        _until(events, "waits", thread.name)
    for thread in (threads[1], threads[0]):
        for _ in range(2):
            polling.finished(LONG)
        thread.join(STUCK)

    assert order == [Lane.HIGH, Lane.LOW]


def test_a_hot_lane_reserves_the_room_it_asks_for(events: SimpleQueue[Event]) -> None:
    polling = _watched(events, concurrency=4)
    _warm(polling, Lane.HIGH, given=4)
    turn = _turn(polling, Lane.HIGH)
    assert turn.limit == 4

    limits: SimpleQueue[int | None] = SimpleQueue()

    def ask() -> None:
        cold = polling.turn(Lane.LOW)
        limits.put(None if cold is None else cold.limit)

    thread = threading.Thread(target=ask, name="low", daemon=True)
    thread.start()
    _until(events, "waits", "low")
    assert limits.empty()
    polling.received(Lane.HIGH, turn, 1)

    assert limits.get(timeout=STUCK) == 3
    thread.join(STUCK)


def test_as_many_are_asked_for_as_there_is_room_for_and_no_more_than_a_batch() -> None:
    polling = Polling(concurrency=7)
    turn = _turn(polling, Lane.NORMAL)
    assert turn.limit == 7
    polling.received(Lane.NORMAL, turn, 4)
    assert _turn(polling, Lane.HIGH).limit == 3

    assert _turn(Polling(concurrency=64), Lane.NORMAL).limit == 10


def test_nothing_is_fetched_ahead_before_a_job_is_known() -> None:
    assert _turn(Polling(concurrency=2), Lane.NORMAL).limit == 2


@pytest.mark.parametrize(("seconds", "limit"), [(LONG, 2), (SHORT, 10)], ids=["long", "short"])
def test_messages_are_fetched_ahead_for_short_jobs_alone(seconds: float, limit: int) -> None:
    polling = Polling(concurrency=2)
    _warm(polling, Lane.NORMAL, seconds=seconds)

    turn = _turn(polling, Lane.LOW)

    assert turn.limit == limit


def test_jobs_that_become_long_are_no_longer_fetched_ahead() -> None:
    polling = Polling(concurrency=2)
    _warm(polling, Lane.NORMAL, seconds=SHORT)
    _warm(polling, Lane.NORMAL, seconds=LONG)

    turn = _turn(polling, Lane.LOW)
    assert turn.limit == 2


def test_it_is_idle_while_nothing_is_held() -> None:
    polling = Polling(concurrency=2)
    idle = [polling.idle]
    turn = _turn(polling, Lane.HIGH)
    polling.received(Lane.HIGH, turn, 2)
    idle.append(polling.idle)
    for _ in range(2):
        polling.finished(LONG)
        idle.append(polling.idle)
    assert idle == [True, False, False, True]


def test_once_closed_nobody_asks_and_nothing_is_kept() -> None:
    polling = Polling(concurrency=2)
    open_poll = _turn(polling, Lane.HIGH)

    polling.close()

    assert polling.turn(Lane.NORMAL) is None
    assert polling.received(Lane.HIGH, open_poll, 2) == 0


def test_closing_wakes_those_who_wait(full: Polling, events: SimpleQueue[Event]) -> None:
    # the fixture joins the waiting threads
    full.close()
    assert full.turn(Lane.HIGH) is None


@pytest.mark.parametrize("order", [Order.WEIGHTED, Order.FIFO])
def test_what_was_received_stays_as_it_came(order: Order) -> None:
    assert arranged(range(10), order, entropy=seeded_entropy()) == [*range(10)]


def test_a_random_queue_begins_what_was_received_by_chance() -> None:
    entropy = seeded_entropy()
    seen = [tuple(arranged("abc", Order.RANDOM, entropy=entropy)) for _ in range(300)]

    counts = Counter(seen)
    assert set(counts) == set(permutations("abc"))
    # a sixth each is 50; thirty less would happen once in a hundred thousand seeds
    assert min(counts.values()) > 20


def test_one_randomness_gives_one_order() -> None:
    first, second = (arranged(range(10), Order.RANDOM, entropy=seeded_entropy(7)) for _ in range(2))
    assert first == second != [*range(10)]
