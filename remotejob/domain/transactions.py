"""Items of the table, and the steps of a transaction on them.

The table holds more than records: edges between jobs, locks and their waiters, batches,
idempotency keys. A transaction is a list of steps. The stores carry out all of them, or none and
report which step was refused.

Source: Amazon DynamoDB, TransactWriteItems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import Absent, All, Is, Item, Value
from remotejob.domain.errors import UnreadableItem
from remotejob.domain.ids import partition_of
from remotejob.domain.record import JobRecord
from remotejob.domain.record_texts import check_texts
from remotejob.domain.text import shown
from remotejob.domain.unreadable import SkippedItems
from remotejob.names import Field

STEPS_AT_MOST: Final = 100
"""Source: Amazon DynamoDB, "Service, account, and table quotas"."""


@dataclass(frozen=True, slots=True)
class Key:
    """The primary key of an item."""

    partition: str
    name: str
    """Sorts within its partition."""


def record_key(job_id: str) -> Key:
    return Key(partition_of(job_id), job_id)


ABSENT: Final = Condition(name="absent", expression=Absent(Field.PK))
"""The item does not exist yet."""

SAME_HOLDER: Final = Condition(
    name="same_holder", expression=All(Is(Field.JOB, "job"), Is(Field.RUN, "run"))
)
"""The lock still has the holder that was read."""

SAME_TOKEN: Final = Condition(name="same_token", expression=Is(Field.TOKEN, "token"))
"""The item is still the one that was read, not a later one with the same key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """Store an item, replacing any with its key."""

    key: Key
    content: Item
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erase:
    """Delete an item. A missing item is no error, unless the condition requires it."""

    key: Key
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Require a condition of an item without changing it."""

    key: Key
    condition: Condition
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Add numbers to an item, which is created if missing."""

    key: Key
    add: Mapping[Field, int]
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


Step = Change | Put | Erase | Check | Count


@dataclass(frozen=True, slots=True)
class Conflict:
    """A refused transaction, which changed nothing: the step that failed, and the item it found."""

    step: int
    item: Item | None

    @property
    def record(self) -> JobRecord | None:
        """The record that refused the step, if the item is a record."""
        return None if self.item is None else record_of(self.item)


def put_record(record: JobRecord) -> Put:
    """Store a record, unless its id is taken."""
    return Put(key=record_key(record.id), content=record.to_item(), condition=ABSENT)


def key_of(step: Step) -> Key:
    return record_key(step.job_id) if isinstance(step, Change) else step.key


def record_of(item: Item) -> JobRecord | None:
    """The record in an item; None for the tombstone of a removed job. Raises: UnreadableItem."""
    return JobRecord.from_item(item) if Field.STATE in item else None


def checked_record(item: Item) -> JobRecord | None:
    """As `record_of`, for readers who use all of it. Raises: UnreadableItem."""
    record = record_of(item)
    if record is not None:
        check_texts(record)
    elif Field.REMOVED not in item:
        raise UnreadableItem(
            item.get(Field.PK),
            item.get(Field.SK),
            "it is neither a job nor what a removed one left",
        )
    return record


def readable_record(item: Item, skipped: SkippedItems) -> JobRecord | None:
    """As `record_of`, in a listing: a record that cannot be read hides no other one."""
    try:
        return checked_record(item)
    except UnreadableItem as problem:
        skipped.add(problem)
        return None


def readable_note(partition: str, name: str, item: Item, skipped: SkippedItems) -> str | None:
    """The text of a note; None for an item that has none, which is left out."""
    content = item.get(Field.CONTENT)
    if isinstance(content, str):
        return content
    skipped.add(UnreadableItem(partition, name, f"{Field.CONTENT}={shown(content)} is not text"))
    return None


def no_job_id(name: object, *, partition: str = "") -> UnreadableItem:
    """What is wrong with an item, or a mark of one, that is named after no job."""
    return UnreadableItem(partition, name, "it does not have the name of a job")


def applied(change: Change, item: Item) -> dict[str, Value]:
    """The item after a change."""
    changed: dict[str, Value] = {**change.set_once, **item, **change.set}
    for name, by in change.add.items():
        changed[name] = number(changed.get(name, 0)) + by
    for name, members in change.include.items():
        changed[name] = members_of(changed.get(name, frozenset())) | members
    for name, members in change.discard.items():
        left = members_of(changed.get(name, frozenset())) - members
        if left:
            changed[name] = left
        else:
            # DynamoDB keeps no empty sets
            changed.pop(name, None)
    for name in change.remove:
        changed.pop(name, None)
    return changed


def number(value: Value) -> int:
    assert isinstance(value, int), f"{value!r} is not a number"
    return value


def text(value: Value) -> str:
    assert isinstance(value, str), f"{value!r} is not text"
    return value


def members_of(value: Value) -> frozenset[str]:
    assert isinstance(value, frozenset), f"{value!r} is not a set"
    return value
