"""Comparisons in DynamoDB's conditions: values of different types compare as false.

What moto does: it compares the Python values, and a text with a number raises TypeError, which ends
the request with an internal error.

What AWS does: a comparison of an attribute of another type is false. Source: Amazon DynamoDB API
Reference, "Condition": "If an item contains an AttributeValue element of a different type than the
one provided in the request, the value does not match".
"""

from __future__ import annotations

from typing import Any

from moto.dynamodb import comparisons

_COMPARISONS: tuple[type[Any], ...] = (
    comparisons.OpLessThan,
    comparisons.OpLessThanOrEqual,
    comparisons.OpGreaterThan,
    comparisons.OpGreaterThanOrEqual,
)


def close_gap() -> None:
    for operation in _COMPARISONS:
        _compare_one_type(operation)


def _compare_one_type(operation: type[Any]) -> None:
    stock = operation.expr

    def expr(self: Any, item: Any) -> bool:
        types = {side.get_type(item) for side in (self.lhs, self.rhs) if hasattr(side, "get_type")}
        return len(types) <= 1 and bool(stock(self, item))

    operation.expr = expr
