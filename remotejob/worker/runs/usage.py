"""What a run used besides claim and commit, for its receipt. Counting makes no request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from remotejob.domain.record import JobRecord
from remotejob.domain.usage import Call, Usage, units
from remotejob.ports import Received


class Ending(Enum):
    """How a run ends, which decides what happens to its message."""

    COMPLETED = "completed"
    FAILED = "failed"
    """For good."""
    SENT_AGAIN = "sent again"
    """Retried later: a message with a delay replaces this one."""
    PUT_OFF = "put off"
    """Retried later than a message can be delayed: the scheduler sends."""
    AT_ONCE = "at once"
    """Given back, or retried now: its message becomes visible."""


_SETTLING: Final[Mapping[Ending, Mapping[Call, int]]] = MappingProxyType(
    {
        Ending.COMPLETED: {},
        Ending.FAILED: {},
        Ending.SENT_AGAIN: {Call.SEND: 1, Call.DELETE: 1},
        Ending.PUT_OFF: {Call.DELETE: 1, Call.SEND: 1, Call.UPDATE_ITEM: 1},
        Ending.AT_ONCE: {Call.HIDE: 1},
    }
)
_MARKS: Final[Mapping[Ending, int]] = MappingProxyType(
    # put into the index, moved (which writes twice), and removed by the next claim
    {Ending.SENT_AGAIN: 2, Ending.PUT_OFF: 4}
)


class RunUsage:
    """The requests of one run so far. Safe across threads."""

    def __init__(self, record: JobRecord, message: Received) -> None:
        self._lock = threading.Lock()
        self._earlier: Final = Usage.from_json(record.calls_json)
        self._started_ms: Final = record.started_ms or 0
        self._received: Final = 1 / message.together
        self._calls: Counter[Call] = Counter()
        self._shares: dict[Call, float] = {}
        self._note_units = 0
        self._index_units = 0

    def count(self, calls: Mapping[Call, int]) -> None:
        with self._lock:
            self._calls.update(calls)

    def share(self, call: Call, part: float) -> None:
        """Count a share of a request that was made for several jobs."""
        with self._lock:
            self._shares[call] = self._shares.get(call, 0) + part

    def noted(self, content: str) -> None:
        """A note was written next to the record."""
        with self._lock:
            self._calls[Call.PUT_ITEM] += 1
            self._note_units += units(len(content.encode(errors="replace")))

    def marked(self) -> None:
        """The record was put into the index, which the run's end undoes."""
        with self._lock:
            self._index_units += 2

    def at_end(self, ending: Ending, *, now_ms: int) -> str | None:
        """What the record keeps at the end of the run; None if there is nothing to keep."""
        with self._lock:
            earlier, completes = self._earlier, ending is Ending.COMPLETED
            if completes and not (self._calls or self._shares or earlier.runs):
                return None
            calls = Counter[Call]({})
            shares = dict(earlier.calls)
            calls.update(self._calls)
            calls.update(_SETTLING[ending])
            for counted in (calls, self._shares, {Call.RECEIVE: self._received}):
                for call, count in counted.items():
                    shares[call] = shares.get(call, 0) + count
            ran_ms = max(0, now_ms - self._started_ms)
            return Usage(
                runs=earlier.runs + 1,
                calls=shares,
                running_ms=None
                if completes and earlier.running_ms is None
                else (earlier.running_ms or 0) + ran_ms,
                note_units=earlier.note_units + self._note_units,
                index_units=earlier.index_units + self._index_units + _MARKS.get(ending, 0),
            ).to_json()
