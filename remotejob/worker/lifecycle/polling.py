"""Polling: decides which lane may ask for how many messages, and when.

Each lane is polled by a thread of its own. A lane whose last poll was empty is *cold*: it may keep
a long poll open whenever there is room, and reserves none, so an empty lane never holds back
another. A lane whose last poll gave messages takes turns with the others, by weight: a full high
lane slows down the low lane but never stops it.

A lane that gave as many messages as it was asked for is *hot*: it certainly has more, so it
reserves room for all it asks for. So does a lane that gave fewer while another lane gives any,
because SQS may return few of many messages, and without reservations the lanes would take each
other's room. If no other lane gives any, such a lane may well be empty by now, so it is polled like
a cold one. Otherwise an empty receive would follow each message that comes alone.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypeVar

from remotejob.domain.ids import Entropy
from remotejob.domain.priority import Lane, Order

T = TypeVar("T")

WEIGHTS: Final[Mapping[Lane, int]] = MappingProxyType({Lane.HIGH: 6, Lane.NORMAL: 3, Lane.LOW: 1})
"""Turns of each lane in ten, while all lanes are full."""

AHEAD: Final = timedelta(seconds=1)
"""Prefetch only messages that will begin within about this time."""

MOST_AHEAD: Final = 20
"""Messages: two full receives, enough to work on while the next receive is under way."""

_BATCH: Final = 10
_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Turn:
    """The right of a lane to ask for messages once."""

    limit: int
    hot: bool
    """Whether the lane probably has messages: it has reserved room, and needs no long poll."""


class Polling:
    """Shares the worker's room among the lanes. Safe across threads."""

    def __init__(self, *, concurrency: int) -> None:
        self._concurrency = concurrency
        self._changed = threading.Condition()
        self._held = 0
        self._reserved = 0
        self._seconds_a_job: float | None = None
        self._gave_any = dict.fromkeys(Lane, False)
        """Whether the last poll of the lane brought messages."""
        self._gave_all = dict.fromkeys(Lane, False)
        """Whether it brought as many as the lane asked for."""
        self._waiting: set[Lane] = set()
        self._credit = dict.fromkeys(Lane, 0)
        self._pauses = 0
        self._closed = False

    def turn(self, lane: Lane) -> Turn | None:
        """Wait until the lane may ask; None once closed."""
        with self._changed:
            self._waiting.add(lane)
            self._changed.wait_for(lambda: self._closed or self._may_ask(lane))
            if self._gave_any[lane] and not self._closed:
                self._take_turn(lane)
            self._waiting.discard(lane)
            if self._closed:
                return None
            limit = min(_BATCH, self._room())
            hot = self._is_hot(lane)
            if hot:
                self._reserved += limit
            self._wake()
            return Turn(limit=limit, hot=hot)

    def received(self, lane: Lane, turn: Turn, count: int) -> int:
        """Note that a poll brought `count` messages; return how many of them there is room for."""
        with self._changed:
            if turn.hot:
                self._reserved -= turn.limit
            self._gave_any[lane] = count > 0
            self._gave_all[lane] = count >= turn.limit
            room = 0 if self._closed or self._pauses else max(0, self._room())
            kept = min(count, room)
            self._held += kept
            self._wake()
            return kept

    def finished(self, seconds: float) -> None:
        """Note that a message is done, after so many seconds."""
        with self._changed:
            self._held -= 1
            known = self._seconds_a_job
            self._seconds_a_job = (
                seconds if known is None else known + _SMOOTHING * (seconds - known)
            )
            self._wake()

    def returned(self) -> None:
        """Note that a message was given back unbegun: jobs take longer than they did."""
        with self._changed:
            self._held -= 1
            # prefetch nothing until the next job shows how long jobs take now
            self._seconds_a_job = None
            self._wake()

    def pause(self) -> None:
        """Give no lane a turn until `resume`; there is no room for what open polls still bring.

        Each call needs a `resume` of its own.
        """
        with self._changed:
            self._pauses += 1

    def resume(self) -> None:
        with self._changed:
            self._pauses -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all turns, also those that lanes wait for."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether no message is prefetched or under way."""
        with self._changed:
            return self._held == 0

    def _wake(self) -> None:
        # only if a lane can go on: waking a thread for nothing costs as much as a small job
        if any(self._may_ask(lane) for lane in self._waiting):
            self._changed.notify_all()

    def _ahead(self) -> int:
        if self._seconds_a_job is None:
            return 0
        seconds = max(self._seconds_a_job, 1e-6)
        return min(MOST_AHEAD, int(self._concurrency * AHEAD.total_seconds() / seconds))

    def _room(self) -> int:
        return self._concurrency + self._ahead() - self._held - self._reserved

    def _may_ask(self, lane: Lane) -> bool:
        if self._pauses:
            return False
        if not self._gave_any[lane]:
            return self._room() > 0
        # while prefetched messages last, wait for more room: fuller batches take fewer requests
        enough = min(_BATCH, max(1, self._ahead() // 2))
        return self._room() >= enough and self._next() is lane

    def _is_hot(self, lane: Lane) -> bool:
        others_give = any(self._gave_any[other] for other in Lane if other is not lane)
        return self._gave_all[lane] or (self._gave_any[lane] and others_give)

    def _next(self) -> Lane:
        return max(
            self._taking_turns(),
            key=lambda lane: (self._credit[lane] + WEIGHTS[lane], WEIGHTS[lane]),
        )

    def _take_turn(self, lane: Lane) -> None:
        """Smooth weighted round robin among the lanes that take turns."""
        taking_turns = self._taking_turns()
        for one in taking_turns:
            self._credit[one] += WEIGHTS[one]
        self._credit[lane] -= sum(WEIGHTS[one] for one in taking_turns)

    def _taking_turns(self) -> list[Lane]:
        return [lane for lane in self._waiting if self._gave_any[lane]]


def arranged(received: Sequence[T], order: Order, *, entropy: Entropy) -> list[T]:
    """The messages of one receive, in the order in which to begin them."""
    messages = list(received)
    if order is Order.RANDOM:
        random.Random(entropy(8)).shuffle(messages)  # noqa: S311 (nobody gains by guessing it)
    return messages
