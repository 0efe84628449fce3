"""Message queues in memory, with SQS's visibility timeouts, delays and dead-letter queues."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from remotejob.backends import limits
from remotejob.domain.times import span_ms
from remotejob.ports import Address, Capabilities, Channel, Clock, Depth, Outgoing, Received

MAX_RECEIVES: Final = 1000
"""The stacks' maxReceiveCount. A last resort: the job's record gives up long before."""


@dataclass(slots=True)
class _Message:
    number: int
    body: str
    sent_ms: int
    visible_ms: int
    group: str | None
    receives: int = 0
    received_ms: int = 0
    receipt: str = ""


class MemoryMessages:
    """A `WorkQueue` in memory that returns the oldest visible messages first."""

    def __init__(self, clock: Clock, *, max_receives: int = MAX_RECEIVES) -> None:
        self._clock = clock
        self._max_receives = max_receives
        self._queues: defaultdict[Address, dict[int, _Message]] = defaultdict(dict)
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()

    @property
    def capabilities(self) -> Capabilities:
        return limits.SQS

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        with self._changed:
            now = self._clock.now_ms()
            for message in messages:
                if message.delay > self.capabilities.max_delay:
                    raise ValueError(
                        f"a delay of {message.delay} is too long: "
                        f"use at most {self.capabilities.max_delay}"
                    )
                seconds = -(-span_ms(message.delay) // 1000)
                self._put(address, message.body, now, now + seconds * 1000, message.group)
            self._changed.notify_all()

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        with self._changed:
            received = self._take(address, limit, hidden)
            if not received and wait:
                # in real time: callers with a simulated clock do not wait
                self._changed.wait(wait.total_seconds())
                received = self._take(address, limit, hidden)
            return received

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        with self._changed:
            for message in self._held(address, receipts):
                del self._queues[address][message.number]

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        with self._changed:
            until_ms = self._clock.now_ms() + span_ms(span)
            for message in self._held(address, receipts):
                if until_ms - message.received_ms <= span_ms(self.capabilities.max_hidden):
                    message.visible_ms = until_ms
            self._changed.notify_all()

    def depth(self, address: Address) -> Depth:
        with self._changed:
            now = self._clock.now_ms()
            unseen = [m for m in self._queues[address].values() if m.visible_ms > now]
            hidden = sum(message.receives > 0 for message in unseen)
            return Depth(
                visible=len(self._queues[address]) - len(unseen),
                hidden=hidden,
                delayed=len(unseen) - hidden,
            )

    def bodies(self, address: Address) -> list[str]:
        """The bodies of all messages in a queue, including hidden ones."""
        with self._changed:
            return [message.body for message in self._queues[address].values()]

    def next_visible_ms(self, address: Address) -> int | None:
        """When the next of a queue's hidden and delayed messages is visible; None if none is."""
        with self._changed:
            now = self._clock.now_ms()
            later = (m.visible_ms for m in self._queues[address].values() if m.visible_ms > now)
            return min(later, default=None)

    def _put(
        self, address: Address, body: str, now_ms: int, visible_ms: int, group: str | None
    ) -> None:
        number = next(self._numbers)
        self._queues[address][number] = _Message(number, body, now_ms, visible_ms, group)

    def _take(self, address: Address, limit: int, hidden: timedelta) -> list[Received]:
        now = self._clock.now_ms()
        queue = self._queues[address]
        taken: list[Received] = []
        for message in list(queue.values()):
            if len(taken) == limit:
                break
            if message.visible_ms > now:
                continue
            if message.receives >= self._max_receives:
                del queue[message.number]
                dead_letters = Address(address.queue, Channel.DEAD_LETTER)
                self._put(dead_letters, message.body, now, now, message.group)
                continue
            message.receives += 1
            message.received_ms = now
            message.visible_ms = now + span_ms(hidden)
            message.receipt = f"{message.number}.{message.receives}"
            taken.append(
                Received(
                    address=address,
                    body=message.body,
                    receipt=message.receipt,
                    id=str(message.number),
                    sent_ms=message.sent_ms,
                    receives=message.receives,
                    group=message.group,
                )
            )
        return [replace(one, together=len(taken)) for one in taken]

    def _held(self, address: Address, receipts: Sequence[str]) -> list[_Message]:
        queue = self._queues[address]
        held = (queue.get(int(receipt.partition(".")[0])) for receipt in receipts)
        return [
            message
            for message, receipt in zip(held, receipts, strict=True)
            if message is not None and message.receipt == receipt
        ]
