"""The types of changes to a job's record, and the conditions that many changes share.

A change is data: the stores carry it out and know nothing about jobs. Each condition has a name,
and its comment says which crash or race it guards against. In the time lines, A and B are workers,
S is the scheduler, M a manager; time runs to the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.conditions import Absent, AtMost, Expression, Item, Present
from remotejob.domain.record import JobRecord
from remotejob.names import Field

Fields = tuple[Field, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """A named expression."""

    name: str
    expression: Expression


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An update of one record, refused unless its condition holds."""

    job_id: str
    condition: Condition
    values: Item
    """The values that the condition compares with, by name."""
    set: Item = field(default_factory=dict)
    set_once: Item = field(default_factory=dict)
    """Attributes to set unless the record has them."""
    add: Mapping[Field, int] = field(default_factory=dict)
    include: Mapping[Field, frozenset[str]] = field(default_factory=dict)
    """Members to put into sets."""
    discard: Mapping[Field, frozenset[str]] = field(default_factory=dict)
    """Members to take out of sets."""
    remove: tuple[Field, ...] = ()


EXISTS: Final = Present(Field.PK)
"""Part of every condition on a change, because DynamoDB's update creates a missing item.

    M  remove ─────────▶ (nothing left)
    A  heartbeat ─────────────────────▶ would create a ghost: an item with a lease and no job
"""

NOT_LATER: Final = AtMost(Field.UPDATED, "stamp")
"""Part of every condition on a change that sets the record's time: time must not run backwards.

A request that its client gave up on can arrive minutes later. It finds that it was overtaken:

    M  pause (no answer) ── pause ✓ ── resume ✓ ──────────── ✗ (the first pause arrives)
"""


def later(now_ms: int, record: JobRecord) -> int:
    """The time of a command on a record as read; just after its last change, if that is ahead.

    Were both times the same, as they could be for as long as clocks differ, a command that arrives
    late would not find that another one has overtaken it.
    """
    return now_ms if record.updated_ms <= now_ms else record.updated_ms + 1


UNHINDERED: Final = (Absent(Field.BLOCKED), Absent(Field.PARKED))
"""A waiting job waits only for its due time."""

OWED_STATUS: Final = "status"
"""What an end owes: the status message and all other consequences."""
