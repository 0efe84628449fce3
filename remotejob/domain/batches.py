"""Batches: many jobs made together, counted as they end, and the job that runs after all of them.

The items of a batch lie in their own partition: its description (`batch`), numbered counters that
are summed (`batch#count#`), its followers (`batch#then#`, one for each time it becomes complete)
and the ids of its children, in pages. Except for the pages and the followers, items are only ever
added to, so no writer overwrites another's work.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from remotejob.domain.conditions import Item
from remotejob.domain.ids import Entropy, is_job_id, new_job_id
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import from_ms, span_ms
from remotejob.domain.transactions import Key, number, text
from remotejob.names import Field, Partition

BATCH: Final = "batch"
PAGES: Final = "page#"

KEPT: Final = timedelta(days=365)
"""How long a batch is kept after it was made. Children that end later are not counted."""

MADE_WITHIN: Final = timedelta(days=7)
"""How long making a batch may take. After that, its maker is considered dead."""

COUNTS: Final = "batch#count#"
THEN: Final = "batch#then#"

_ID: Final = "b-"


class BatchState(StrEnum):
    """Where a batch stands."""

    MAKING = "making"
    """Its children are being made, or their maker died before it finished."""
    RUNNING = "running"
    DONE = "done"
    """Every child has ended, with success or not."""
    CANCELLED = "cancelled"
    """Cancelled before all its children were made."""


COUNTED: Final[Mapping[State, Field]] = {
    State.COMPLETED: Field.COMPLETED,
    State.FAILED: Field.FAILED,
    State.CANCELLED: Field.CANCELLED,
}
"""The counter for each way a child can end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Follower:
    """The job that runs when a batch is complete. A template: each completion needs a new job."""

    task: str
    queue: str
    priority: int = 0
    retry_json: str | None = None
    data_json: str | None = None
    input_json: str | None = None
    resource: str | None = None
    tenant: str | None = None
    tenant_limit: int | None = None
    depth: int = 0
    start_by_ms: int | None = None
    start_in_ms: int | None = None
    crash_limit: int | None = None

    @classmethod
    def of(cls, record: JobRecord) -> Follower:
        return cls(**{field.name: getattr(record, field.name) for field in fields(cls)})

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Follower:
        """As `values` wrote it. What a later version added is left out."""
        return cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})

    def values(self) -> dict[str, Any]:
        """What is not the default."""
        found = {field: getattr(self, field.name) for field in fields(self)}
        return {field.name: value for field, value in found.items() if value != field.default}


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRecord:
    """A batch, assembled from its items."""

    id: str
    task: str
    queue: str
    name: str | None
    created_ms: int
    expires_s: int
    follower: Follower | None
    total: int = 0
    """Children made so far; final once the batch is sealed."""
    sealed: bool = False
    stopped: bool = False
    """Cancelled before it was sealed."""
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    counters: Mapping[str, Item]
    """The counters as they were read, by name."""
    follower_ids: tuple[str, ...]
    """Its followers: one, plus one for each retry of the batch after the last follower ran."""

    @property
    def done(self) -> int:
        return self.completed + self.failed + self.cancelled

    @property
    def complete(self) -> bool:
        return self.sealed and self.done >= self.total

    def given_up(self, now_ms: int) -> bool:
        """Whether it will never be complete, because some children will never be made."""
        overdue = now_ms > self.created_ms + span_ms(MADE_WITHIN)
        return self.stopped or (overdue and not self.sealed)

    @property
    def state(self) -> BatchState:
        if self.stopped:
            return BatchState.CANCELLED
        if not self.sealed:
            return BatchState.MAKING
        return BatchState.DONE if self.complete else BatchState.RUNNING

    @classmethod
    def of(cls, batch_id: str, items: Mapping[str, Item]) -> BatchRecord | None:
        """The batch with these items, by name; None if it does not exist."""
        item = items.get(BATCH)
        if item is None:
            return None
        described = json.loads(text(item[Field.CONTENT]))
        then = described["then"]
        from_ms(number(described["created_ms"]))
        for name in ("task", "queue"):
            text(described[name])
        counters = {name: one for name, one in items.items() if name.startswith(COUNTS)}
        counts: Counter[str] = Counter()
        for counter in counters.values():
            for field in COUNTED.values():
                counts[field] += number(counter[field])
        return cls(
            id=batch_id,
            task=described["task"],
            queue=described["queue"],
            name=described["name"],
            created_ms=described["created_ms"],
            expires_s=number(item[Field.EXPIRES]),
            follower=None if then is None else Follower.read(then),
            total=number(item.get(Field.TOTAL, 0)),
            sealed=Field.SEALED in item,
            stopped=Field.STOPPED in item,
            completed=counts[Field.COMPLETED],
            failed=counts[Field.FAILED],
            cancelled=counts[Field.CANCELLED],
            counters=counters,
            follower_ids=tuple(
                text(items[name][Field.JOB]) for name in sorted(items) if name.startswith(THEN)
            ),
        )


def new_batch_id(now_ms: int, entropy: Entropy) -> str:
    """A new id, distinct from job ids: a job's `blocked` set holds both kinds."""
    return _ID + new_job_id(now_ms, entropy)


def is_batch_id(id_: str) -> bool:
    return id_.startswith(_ID) and is_job_id(id_.removeprefix(_ID))


def partition_of_batch(batch_id: str) -> str:
    return f"{Partition.BATCH}{batch_id}"


def page_name(page: int) -> str:
    return f"{PAGES}{page:08}"


def batch_key(batch_id: str, name: str) -> Key:
    return Key(partition_of_batch(batch_id), name)


def counter_key(batch_id: str, shard: int) -> Key:
    return batch_key(batch_id, f"{COUNTS}{shard}")
