"""How many messages to ask which lane for.

Each lane is polled by a thread of its own. A lane that was empty at its last poll is *cold*: it
may have a long poll open whenever there is room, and reserves nothing, so that an empty lane holds
back no other. A lane that gave messages asks in its turn, by weight, so that a full high lane slows
the low one down and never stops it. One that gave all that it was asked for is *hot*: it surely has
more, and reserves the room it asks for. So is one that gave fewer while another gives any: SQS may
give few of many, and without their reserving the lanes would take one another's room. Alone it may
be empty by now, and is polled as a cold one: a request that brings nothing would follow each
message that comes alone.
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
"""Shares of the turns while all lanes are full."""

AHEAD: Final = timedelta(seconds=1)
"""Messages are fetched ahead only as far as they will begin within about this time."""

MOST_AHEAD: Final = 20
"""Two receives' worth: enough to keep them full, while the next one is under way."""

_BATCH: Final = 10
_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True)
class Turn:
    """A lane may ask for that many messages."""

    limit: int
    hot: bool
    """Whether it is thought to have messages: then room is reserved, and no long poll is needed."""


class Polling:
    """Shares the worker's room among the lanes. Safe across threads."""

    def __init__(self, *, concurrency: int) -> None:
        self._concurrency = concurrency
        self._changed = threading.Condition()
        self._held = 0
        self._reserved = 0
        self._seconds_a_job: float | None = None
        self._gave = dict.fromkeys(Lane, False)
        self._gave_all = dict.fromkeys(Lane, False)
        self._asking: set[Lane] = set()
        self._waiting: set[Lane] = set()
        self._credit = dict.fromkeys(Lane, 0)
        self._closed = False

    def turn(self, lane: Lane) -> Turn | None:
        """Wait until the lane may ask; None once closed."""
        with self._changed:
            if self._gave[lane]:
                self._asking.add(lane)
            self._waiting.add(lane)
            self._changed.wait_for(lambda: self._closed or self._may_ask(lane))
            self._waiting.discard(lane)
            self._asking.discard(lane)
            if self._closed:
                return None
            limit = min(_BATCH, self._room())
            hot = self._is_hot(lane)
            if self._gave[lane]:
                self._take_turn(lane)
            if hot:
                self._reserved += limit
            self._wake()
            return Turn(limit=limit, hot=hot)

    def received(self, lane: Lane, turn: Turn, count: int) -> int:
        """A poll has returned; how many of its messages there is room for."""
        with self._changed:
            if turn.hot:
                self._reserved -= turn.limit
            self._gave[lane] = count > 0
            self._gave_all[lane] = count >= turn.limit
            room = 0 if self._closed else max(0, self._room())
            kept = min(count, room)
            self._held += kept
            self._wake()
            return kept

    def finished(self, seconds: float) -> None:
        """A message held is done with, after so long."""
        with self._changed:
            self._held -= 1
            known = self._seconds_a_job
            self._seconds_a_job = (
                seconds if known is None else known + _SMOOTHING * (seconds - known)
            )
            self._wake()

    def returned(self) -> None:
        """A message held was given back, not begun: jobs last longer than it seemed."""
        with self._changed:
            self._held -= 1
            # nothing is fetched ahead until a job has shown again how long jobs last
            self._seconds_a_job = None
            self._wake()

    def close(self) -> None:
        """Nobody asks any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        with self._changed:
            return self._held == 0

    def _wake(self) -> None:
        # a thread woken to find that it must go on waiting costs as much as a small job
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
        if not self._gave[lane]:
            return self._room() > 0
        # with messages fetched ahead there is time to wait for a full batch's worth of room
        enough = min(_BATCH, max(1, self._ahead() // 2))
        return self._room() >= enough and self._next() is lane

    def _is_hot(self, lane: Lane) -> bool:
        if self._gave_all[lane]:
            return True
        return self._gave[lane] and any(self._gave[other] for other in Lane if other is not lane)

    def _next(self) -> Lane:
        return max(
            self._asking, key=lambda lane: (self._credit[lane] + WEIGHTS[lane], WEIGHTS[lane])
        )

    def _take_turn(self, lane: Lane) -> None:
        """Smooth weighted round robin among the lanes that ask."""
        asking = self._asking | {lane}
        for one in asking:
            self._credit[one] += WEIGHTS[one]
        self._credit[lane] -= sum(WEIGHTS[one] for one in asking)


def arranged(received: Sequence[T], order: Order, *, entropy: Entropy) -> list[T]:
    """What one receive brought, in the order in which to begin it."""
    arranged = list(received)
    if order is Order.RANDOM:
        random.Random(entropy(8)).shuffle(arranged)  # noqa: S311 (nobody gains by guessing it)
    return arranged
