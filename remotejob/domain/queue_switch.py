"""The switch of a queue: nobody takes jobs of a stopped one until somebody starts it again.

A queue that was never stopped has no item. Messages and records stay where they are, and jobs that
have begun go on.

Source: job-collection, `stopJobs` and `startJobs`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from remotejob.domain.changes import Condition
from remotejob.domain.conditions import IsNotText, Item
from remotejob.domain.text import dumps
from remotejob.domain.times import from_ms
from remotejob.domain.transactions import ABSENT, SAME_TOKEN, Key, Put
from remotejob.domain.unreadable import reading_item
from remotejob.names import Field, Partition

_ODD: Final = Condition(name="odd_switch", expression=IsNotText(Field.TOKEN))
"""The item is none of ours: whoever turns the switch replaces it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedQueue:
    """A queue of which nobody takes jobs, because somebody stopped it."""

    queue: str
    since: datetime
    by: str
    """Who stopped it: a name that a client connected with, or user and machine."""

    def __str__(self) -> str:
        return (
            f"queue {self.queue!r} is stopped since {self.since:%Y-%m-%dT%H:%M:%SZ}, by {self.by}; "
            f"its jobs wait. To go on: remotejob start {self.queue}"
        )


def switch_key(queue: str) -> Key:
    return Key(f"{Partition.SWITCH}{queue}", "switch")


def read_switch(queue: str, item: Item | None) -> StoppedQueue | None:
    """What a switch's item says; None for a queue that is not stopped.

    Raises: UnreadableItem.
    """
    if item is None:
        return None
    key = switch_key(queue)
    with reading_item(key.partition, key.name):
        noted = json.loads(item[Field.CONTENT])  # type: ignore[arg-type]
        since_ms, by = noted["stopped_ms"], noted["by"]
        if since_ms is None:
            return None
        if type(since_ms) is not int or type(by) is not str:
            raise TypeError("stopped_ms is no whole number, or by is no text")
        return StoppedQueue(queue=queue, since=from_ms(since_ms), by=by)


def turned(queue: str, item: Item | None, *, stopped_ms: int | None, by: str, token: str) -> Put:
    """Turn a switch, from how it was read; `stopped_ms` is None to start the queue.

    The token makes a write that takes effect late, after somebody else's, be refused:
        A  stops (no answer yet) ── asks again ✓
        B                                        starts ✓
        A's first request                                  ✗
    """
    condition = ABSENT
    values: Item = {}
    if item is not None:
        seen = item.get(Field.TOKEN)
        condition, values = (SAME_TOKEN, {"token": seen}) if isinstance(seen, str) else (_ODD, {})
    content = dumps({"stopped_ms": stopped_ms, "by": by})
    return Put(
        key=switch_key(queue),
        content={Field.CONTENT: content, Field.TOKEN: token},
        condition=condition,
        values=values,
    )
