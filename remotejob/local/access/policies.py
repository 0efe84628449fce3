"""Evaluate identity-based and resource-based policy documents.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition
operators".

Limits: no permission boundaries, session policies or service control policies. An unsupported
condition operator never lets an Allow apply, and always lets a Deny apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """One action on one resource, which a request needs."""

    action: str
    #: None if we don't know the resource: then any statement on the action applies.
    resource: str | None
    context: Context = field(default_factory=dict)
    #: The calling service principal ("events.amazonaws.com"), for resource-based policies.
    service: str | None = None


def allowed(documents: Iterable[Document], access: Access) -> bool:
    """Whether the documents together grant the access: an explicit deny wins over any allow."""
    granted = False
    for document in documents:
        for statement in _listed(document.get("Statement")):
            if not _applies(statement, access):
                continue
            if statement.get("Effect") == "Deny":
                return False
            granted = True
    return granted


def _applies(statement: Mapping[str, Any], access: Access) -> bool:
    return (
        _principal_matches(statement, access)
        and _action_matches(statement, access.action)
        and _resource_matches(statement, access.resource)
        and _conditions_hold(statement, access.context)
    )


def _principal_matches(statement: Mapping[str, Any], access: Access) -> bool:
    if "Principal" not in statement:
        return True
    principal = statement["Principal"]
    if principal == "*":
        return True
    if access.service is not None:
        return access.service in _listed(principal.get("Service"))
    caller = str(access.context.get("aws:PrincipalArn", ""))
    account = caller.split(":")[4] if caller.count(":") >= 5 else ""
    names = {"*", caller, account, f"arn:aws:iam::{account}:root"}
    return any(name in names for name in _listed(principal.get("AWS")))


def _action_matches(statement: Mapping[str, Any], action: str) -> bool:
    wanted = action.lower()
    if "NotAction" in statement:
        return not any(like(p.lower(), wanted) for p in _listed(statement["NotAction"]))
    return any(like(p.lower(), wanted) for p in _listed(statement.get("Action")))


def _resource_matches(statement: Mapping[str, Any], resource: str | None) -> bool:
    if resource is None:
        return True
    if "NotResource" in statement:
        return not any(like(p, resource) for p in _listed(statement["NotResource"]))
    # Trust policies have no Resource element: they apply to the role they belong to.
    return "Resource" not in statement or any(
        like(p, resource) for p in _listed(statement["Resource"])
    )


def _conditions_hold(statement: Mapping[str, Any], context: Context) -> bool:
    lowered = {key.lower(): value for key, value in context.items()}
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, expected in keys.items():
            actual = lowered.get(key.lower())
            values = None if actual is None else [str(v) for v in _listed(actual)]
            verdict = _condition(operator, values, [str(v) for v in _listed(expected)])
            if verdict is None:
                return statement.get("Effect") == "Deny"
            if not verdict:
                return False
    return True


def _condition(operator: str, actual: list[str] | None, expected: list[str]) -> bool | None:
    """Whether one condition holds; None when the operator is not supported."""
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name == "Null":
        return (actual is None) == (expected == ["true"])
    negated = "Not" in name
    test = _TESTS.get(name.replace("Not", "") if negated else name)
    if test is None:
        return None
    if actual is None:
        return optional or negated or quantifier == "ForAllValues"

    def one(value: str) -> bool:
        return any(test(value, e) for e in expected) != negated

    return all(map(one, actual)) if quantifier == "ForAllValues" else any(map(one, actual))


def _numbers(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda actual, expected: test(float(actual), float(expected))


def like(pattern: str, value: str) -> bool:
    """Whether the value matches a pattern with `*` (any run) and `?` (any one character).

    `${*}`, `${?}` and `${$}` stand for the character itself.
    """
    return _compiled(pattern).fullmatch(value) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _LITERAL.split(pattern)
    # every second part is a character that stands for itself
    escaped = [
        re.escape(part) if number % 2 else re.escape(part).replace(r"\*", ".*").replace(r"\?", ".")
        for number, part in enumerate(parts)
    ]
    return re.compile("".join(escaped), re.DOTALL)


_LITERAL = re.compile(r"\$\{([*?$])\}")


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda actual, expected: actual == expected,
    "StringEqualsIgnoreCase": lambda actual, expected: actual.lower() == expected.lower(),
    "StringLike": lambda actual, expected: like(expected, actual),
    "ArnEquals": lambda actual, expected: like(expected, actual),
    "ArnLike": lambda actual, expected: like(expected, actual),
    "Bool": lambda actual, expected: actual.lower() == expected.lower(),
    "NumericEquals": _numbers(lambda a, e: a == e),
    "NumericLessThan": _numbers(lambda a, e: a < e),
    "NumericLessThanEquals": _numbers(lambda a, e: a <= e),
    "NumericGreaterThan": _numbers(lambda a, e: a > e),
    "NumericGreaterThanEquals": _numbers(lambda a, e: a >= e),
}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
