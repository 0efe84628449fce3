"""Find the attributes that a DynamoDB request names, for policies with conditions on them.

Source: Amazon DynamoDB Developer Guide, "Using IAM policy conditions for fine-grained access
control" (`dynamodb:Attributes`: the top-level attributes a request accesses, keys included) and
"Using IAM with DynamoDB transactions" (`dynamodb:EnclosingOperation`).

Limits: `dynamodb:Select` and `dynamodb:ReturnValues` are not supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_EXPRESSIONS: Final = (
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
)
_LEGACY: Final = ("AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter")
_WORD: Final = re.compile(r"(?<![\w:#.])(?:#[\w-]+|[A-Za-z_][\w-]*)(?!\w*\s*\()")
_KEYWORDS: Final = frozenset(
    {"ADD", "AND", "BETWEEN", "DELETE", "IN", "NOT", "OR", "REMOVE", "SET"}
)


def named(request: Mapping[str, Any]) -> list[str]:
    """The attributes that a request, or one part of a transaction, names."""
    found = {*request.get("Item", ()), *request.get("Key", ()), *request.get("AttributesToGet", ())}
    for part in _LEGACY:
        found |= set(request.get(part) or ())
    names = request.get("ExpressionAttributeNames") or {}
    for expression in _EXPRESSIONS:
        found |= {names.get(word, word) for word in _words(request.get(expression) or "")}
    return sorted(found)


def named_in_batch(requests: list[Mapping[str, Any]]) -> list[str]:
    """The attributes that a batch's writes to one table name."""
    parts = [part for request in requests for part in request.values()]
    return sorted({name for part in parts for name in named(part)})


def _words(expression: str) -> Iterator[str]:
    for word in _WORD.findall(expression):
        if word.upper() not in _KEYWORDS:
            yield word
