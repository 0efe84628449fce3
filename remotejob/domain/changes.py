"""The types of changes to a job's record, and the conditions that many changes share.

A change is data: the stores carry it out and know nothing about jobs. Each condition has a name,
and its comment says which crash or race it guards against. In the time lines, A and B are workers,
S is the scheduler, M a manager; time runs to the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.conditions import Absent, Expression, Item, Present
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
    add: Mapping[Field, int] = field(default_factory=dict)
    discard: Mapping[Field, frozenset[str]] = field(default_factory=dict)
    """Members to take out of sets."""
    remove: tuple[Field, ...] = ()


EXISTS: Final = Present(Field.PK)
"""Part of every condition on a change, because DynamoDB's update creates a missing item.

    M  remove ─────────▶ (nothing left)
    A  heartbeat ─────────────────────▶ would create a ghost: an item with a lease and no job
"""

UNHINDERED: Final = (Absent(Field.BLOCKED), Absent(Field.PARKED))
"""A waiting job waits only for its due time."""

OWED_STATUS: Final = "status"
"""What an end owes: the status message and all other consequences."""
