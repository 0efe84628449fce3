"""Items of the table, and the steps of a transaction on them.

Beside the records there are items of their own: edges between jobs, locks and those who wait for
them, batches, idempotency keys. A transaction is a list of steps; the stores carry out all of
them, or none and say which was refused.

Source: Amazon DynamoDB, TransactWriteItems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.changes import Change, Condition
from remotejob.domain.conditions import Absent, All, Is, Item, Value
from remotejob.domain.ids import partition_of
from remotejob.domain.record import JobRecord
from remotejob.names import Field

STEPS_AT_MOST: Final = 100
"""Source: Amazon DynamoDB, "Service, account, and table quotas"."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where an item lies."""

    partition: str
    name: str
    """Sorts within its partition."""


def record_key(job_id: str) -> Key:
    return Key(partition_of(job_id), job_id)


ABSENT: Final = Condition(name="absent", expression=Absent(Field.PK))
"""There is no such item yet."""

SAME_HOLDER: Final = Condition(
    name="same_holder", expression=All(Is(Field.JOB, "job"), Is(Field.RUN, "run"))
)
"""A lock is still held by the run it was seen with."""

SAME_TOKEN: Final = Condition(name="same_token", expression=Is(Field.TOKEN, "token"))
"""The item is the one that was seen, and not a later one in its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """An item put in a place."""

    key: Key
    content: Item
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erase:
    """An item taken away. One that is not there is no error, unless the condition says so."""

    key: Key
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What must hold of an item that the transaction leaves as it is."""

    key: Key
    condition: Condition
    values: Item = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Numbers added to an item, which is made if it is not there."""

    key: Key
    add: Mapping[Field, int]
    condition: Condition | None = None
    values: Item = field(default_factory=dict)


Step = Change | Put | Erase | Check | Count


@dataclass(frozen=True, slots=True)
class Conflict:
    """A transaction was refused, and nothing was done: by which step, and what it met there."""

    step: int
    item: Item | None

    @property
    def record(self) -> JobRecord | None:
        """The record that refused, if it was one."""
        return None if self.item is None else record_of(self.item)


def put_record(record: JobRecord) -> Put:
    """A record stored, unless there is one of its id."""
    return Put(key=record_key(record.id), content=record.to_item(), condition=ABSENT)


def key_of(step: Step) -> Key:
    return record_key(step.job_id) if isinstance(step, Change) else step.key


def record_of(item: Item) -> JobRecord | None:
    """The record an item is; None for what a removed job leaves behind."""
    return JobRecord.from_item(item) if Field.STATE in item else None


def applied(change: Change, item: Item) -> dict[str, Value]:
    """An item after a change."""
    changed: dict[str, Value] = {**item, **change.set}
    for name, by in change.add.items():
        changed[name] = number(changed.get(name, 0)) + by
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
    assert isinstance(value, int), f"{value!r} is no number"
    return value


def text(value: Value) -> str:
    assert isinstance(value, str), f"{value!r} is no text"
    return value


def members_of(value: Value) -> frozenset[str]:
    assert isinstance(value, frozenset), f"{value!r} is no set"
    return value
