"""Grants: calls on resources, with the conditions that IAM can compare.

DynamoDB sees an update but not its purpose. Only the attributes that a request names and the
partition keys of its items tell requests apart. The conditions hold whether DynamoDB checks the
parts of a transaction one by one or together, and whether or not it counts the attributes of a
ConditionExpression.

Source: Amazon DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access
control" and "Using IAM with DynamoDB transactions".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from remotejob.names import Field, Partition

_ATTRIBUTES: Final = "dynamodb:Attributes"
_LEADING_KEYS: Final = "dynamodb:LeadingKeys"


class Thing(StrEnum):
    """The resource of a call."""

    PARAMETER = "the SSM parameter"
    UPLOADS_PARAMETER = "the uploads' SSM parameter"
    QUEUE_PARAMETERS = "the queues' SSM parameters"
    TABLE = "the job table"
    ATTENTION = "its attention index"
    LANES = "the pending queues"
    STATUS = "the status queues"
    DEAD_LETTER = "the dead-letter queues"
    UNREAD_STATUS = "the dead-letter queues of the status queues"
    UPLOADS = "the uploads queue"
    UNREAD_UPLOADS = "the dead-letter queues of the uploads"
    INPUT = "the input bucket"
    INPUT_FILES = "files of the input bucket"
    SUBMITTED_FILES = "files under jobs/ in the input bucket"
    OUTPUT = "the output bucket"
    OUTPUT_FILES = "files of the output bucket"


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Calls on resources, perhaps under a condition."""

    calls: tuple[str, ...]
    on: tuple[Thing, ...]
    only: frozenset[Field] | None = None
    """Condition: the request names only attributes of these."""
    some: frozenset[Field] | None = None
    """Condition: the request names at least one of these attributes."""
    in_transaction: bool = False
    """Condition: the call is part of a TransactWriteItems."""
    keys: frozenset[str] | None = None
    """Condition: each partition key that the request names is like one of these patterns."""

    @property
    def condition(self) -> dict[str, Any]:
        """The condition of a statement; empty for none."""
        return condition(
            only=self.only, some=self.some, in_transaction=self.in_transaction, keys=self.keys
        )


def any_of(*partitions: Partition) -> frozenset[str]:
    """The patterns of the partition keys of these kinds of item."""
    return frozenset(pattern for one in partitions for pattern in one.patterns)


def merged(grants: Iterable[Grant]) -> list[Grant]:
    """The same grants, with those that differ in their partition keys alone made one."""
    found: dict[Grant, frozenset[str]] = {}
    for grant in grants:
        alike = replace(grant, keys=None if grant.keys is None else frozenset())
        found[alike] = found.get(alike, frozenset()) | (grant.keys or frozenset())
    return [
        replace(alike, keys=None if alike.keys is None else keys) for alike, keys in found.items()
    ]


def condition(
    *,
    only: Iterable[Field] | None = None,
    some: Iterable[Field] | None = None,
    in_transaction: bool = False,
    keys: Iterable[str] | None = None,
) -> dict[str, Any]:
    """The condition of a statement, from the conditions of a `Grant`."""
    found: dict[str, Any] = {}
    any_value: dict[str, Any] = {}
    required: dict[str, str] = {}
    if only is not None:
        found["ForAllValues:StringEquals"] = {_ATTRIBUTES: _names(only)}
        required[_ATTRIBUTES] = "false"
    if keys is not None:
        found["ForAllValues:StringLike"] = {_LEADING_KEYS: sorted(keys)}
        required[_LEADING_KEYS] = "false"
    if required:
        # ForAllValues also holds for a request that has no values at all.
        # Source: IAM User Guide, "Multivalued context keys".
        found["Null"] = required
    if some is not None:
        any_value[_ATTRIBUTES] = _names(some)
    if in_transaction:
        any_value["dynamodb:EnclosingOperation"] = ["TransactWriteItems"]
    if any_value:
        found["ForAnyValue:StringEquals"] = any_value
    return found


def _names(fields: Iterable[Field]) -> list[str]:
    return sorted(field.value for field in fields)
