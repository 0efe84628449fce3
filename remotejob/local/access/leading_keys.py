"""Find the partition keys of a DynamoDB request, for policies with conditions on them.

Source: Amazon DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access
control": `dynamodb:LeadingKeys` holds the partition key of each item that a request names. Several
are in one list, so policies compare them with ForAllValues. A query of an index has that index's
partition key, and a scan has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from moto.dynamodb.models import dynamodb_backends

_NAME: Final = r"#?[A-Za-z0-9_]+"
_VALUE: Final = r":[A-Za-z0-9_]+"
_EQUALITY: Final = re.compile(rf"({_NAME})\s*=\s*({_VALUE})")
_PART: Final = (
    rf"\(?\s*(?:{_NAME}\s*(?:=|<=?|>=?)\s*{_VALUE}"
    rf"|{_NAME}\s+BETWEEN\s+{_VALUE}\s+AND\s+{_VALUE}"
    rf"|begins_with\s*\(\s*{_NAME}\s*,\s*{_VALUE}\s*\))\s*\)?"
)
_CONDITION: Final = re.compile(rf"\s*{_PART}(?:\s+AND\s+{_PART})?\s*", re.IGNORECASE)
"""A key condition as DynamoDB documents it. One that is written otherwise may be read otherwise, so
it names no key."""
_SCALARS: Final = ("S", "N", "B")

Request = Mapping[str, Any]


def key_attribute(account: str, region: str, table: str, index: str | None = None) -> str | None:
    """The name of the partition key; None if there is no such table or index."""
    try:
        found = dynamodb_backends[account][region].tables[table.rpartition("/")[2]]
    except KeyError:
        return None
    if index is None:
        return str(found.hash_key_attr)
    schemas = [one.schema for one in found.all_indexes() if one.name == index]
    hashed = [key for schema in schemas for key in schema if key["KeyType"] == "HASH"]
    return str(hashed[0]["AttributeName"]) if hashed else None


def leading_keys(requests: Iterable[Request], attribute: str | None) -> list[str]:
    """The partition keys that requests name; empty if one of them names none that can be read.

    Without keys the condition has nothing to compare, and a policy that requires some refuses.
    """
    if attribute is None:
        return []
    found: list[str] = []
    for request in requests:
        values = [_scalar(typed) for typed in _typed(request, attribute)]
        known = [value for value in values if value is not None]
        if not values or len(known) < len(values):
            return []
        found += known
    return sorted(set(found))


def _typed(request: Request, attribute: str) -> list[Any]:
    """The values of the partition key in a request, as DynamoDB writes them."""
    found = [request[part].get(attribute) for part in ("Item", "Key") if part in request]
    found += [key.get(attribute) for key in request.get("Keys", ())]
    found += _queried(request, attribute)
    return found


def _queried(request: Request, attribute: str) -> list[Any]:
    names = request.get("ExpressionAttributeNames") or {}
    values = request.get("ExpressionAttributeValues") or {}
    found: list[Any] = []
    expression = request.get("KeyConditionExpression")
    if expression is not None:
        equal = [
            values.get(value)
            for name, value in _EQUALITY.findall(expression)
            if names.get(name, name) == attribute
        ]
        if _CONDITION.fullmatch(expression) is None or len(equal) != 1:
            # a key that cannot be read: the request names none
            return [None]
        found = equal
    older = (request.get("KeyConditions") or {}).get(attribute)
    if older is not None:
        found += older.get("AttributeValueList", ())
    return found


def _scalar(typed: Any) -> str | None:
    if not isinstance(typed, Mapping) or len(typed) != 1:
        return None
    ((kind, value),) = typed.items()
    return str(value) if kind in _SCALARS else None
