"""The clock of a system in memory, and its table and message queues, which follow it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from remotejob.backends.memory import MemoryMessages, MemoryStore
from remotejob.domain.changes import Change
from remotejob.domain.errors import InvalidData
from remotejob.domain.priority import Lane
from remotejob.domain.record import JobRecord
from remotejob.domain.text import shown
from remotejob.domain.times import check_timedelta, from_ms, span_ms
from remotejob.domain.transactions import Conflict, Step
from remotejob.domain.unreadable import SkippedItems
from remotejob.ports import Address, Channel, Outgoing, Received, Refused, Updated
from remotejob.testing.fakes import FakeClock
from remotejob.testing.system_faults import SystemFaults

_WRITE: Final = timedelta(milliseconds=1)
_LANES: Final = frozenset(Channel(lane.value) for lane in Lane)


class MovableClock(FakeClock):
    """The time of a system in memory: it stands still until somebody moves it."""

    def __init__(self) -> None:
        super().__init__()
        self._jumping = threading.Lock()
        self._on_advance: Callable[[timedelta], None] = self.jump
        self._on_sleep: Callable[[timedelta], None] = self.jump

    def follow(
        self, *, advance: Callable[[timedelta], None], sleep: Callable[[timedelta], None]
    ) -> None:
        """Let the system decide what happens while time passes."""
        self._on_advance, self._on_sleep = advance, sleep

    def now(self) -> datetime:
        """The time in UTC."""
        return from_ms(self.now_ms())

    def advance(
        self,
        span: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move the time forward by `span` and all that is given by name, added together.

        Nothing runs meanwhile, unless a task is running: then its worker sends its heartbeats.
        Raises: InvalidData, when it would run backwards.
        """
        self._on_advance(length(span, days=days, hours=hours, minutes=minutes, seconds=seconds))

    def sleep(self, span: timedelta) -> None:
        """Let the time pass: the system works meanwhile, if a client sleeps."""
        self._on_sleep(span)

    def jump(self, span: timedelta) -> None:
        """Move the time, and do nothing else."""
        # the scheduler writes from several threads
        with self._jumping:
            super().advance(span)


def length(
    span: timedelta, *, days: float, hours: float, minutes: float, seconds: float
) -> timedelta:
    """All of it together. Raises: InvalidData, when it is less than nothing, or no span of time."""
    check_timedelta("span", span)
    try:
        total = span + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (OverflowError, TypeError, ValueError) as problem:
        raise InvalidData(
            f"days={shown(days)}, hours={shown(hours)}, minutes={shown(minutes)}, "
            f"seconds={shown(seconds)}: {problem}; give numbers"
        ) from None
    if total < timedelta(0):
        raise InvalidData(f"{total}: the clock runs forwards; give zero or more")
    return total


class SystemStore(MemoryStore):
    """A table whose writes take time: each stamp on a record is later than the one before, and none
    may lie in the future."""

    def __init__(self, clock: MovableClock, *, skipped: SkippedItems) -> None:
        super().__init__(skipped=skipped)
        self._moved = clock

    def put_new(self, record: JobRecord) -> Updated | Refused:
        self._moved.jump(_WRITE)
        return super().put_new(record)

    def update(self, change: Change) -> Updated | Refused:
        self._moved.jump(_WRITE)
        return super().update(change)

    def transact(self, steps: Sequence[Step]) -> Conflict | None:
        self._moved.jump(_WRITE)
        return super().transact(steps)


class SystemMessages(MemoryMessages):
    """Queues that deliver late and twice when a test wants it, and never wait in real time."""

    def __init__(self, clock: MovableClock, faults: SystemFaults) -> None:
        super().__init__(clock)
        self._moved = clock
        self._faults = faults

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        if address.channel not in _LANES:
            super().send(address, messages)
            return
        for message in messages:
            copies, late = self._faults.message_delivery()
            for _ in range(copies):
                super().send(address, [message])
                if late:
                    self._put_off_last(address, late)

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        received = super().receive(address, limit=limit, wait=timedelta(0), hidden=hidden)
        if received or not wait:
            return received
        self._moved.advance(wait)
        return super().receive(address, limit=limit, wait=timedelta(0), hidden=hidden)

    def any_visible(self, queue: str) -> bool:
        """Whether a message of a queue's jobs can be received now."""
        return any(self.depth(Address(queue, lane)).visible for lane in _LANES)

    def next_of_jobs_ms(self, queue: str) -> int | None:
        """When the next message of a queue's jobs is visible; None if none is on its way."""
        found = (self.next_visible_ms(Address(queue, lane)) for lane in _LANES)
        return min((at_ms for at_ms in found if at_ms is not None), default=None)

    def _put_off_last(self, address: Address, by: timedelta) -> None:
        last = max(self._queues[address])
        self._queues[address][last].visible_ms += span_ms(by)
