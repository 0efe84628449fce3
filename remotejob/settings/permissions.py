"""Permissions of a queue's tasks beyond what the library needs: IAM statements that allow.

IAM is what refuses a task's calls, in AWS and on this machine. The checks here refuse what would
undo it: rights over rights, and wildcards that nobody explained or that also match the system's own
buckets, queues, table and functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from remotejob.domain.errors import SettingsError
from remotejob.settings.table import Table, fail

MOST_CHARACTERS: Final = 4096
"""Of a queue's permissions as JSON. Source: IAM quotas: the inline policies of a role have 10,240
characters, and the library's own take part of them."""

_ACTION: Final = re.compile(r"(?P<service>[a-z0-9-]+):(?P<name>[A-Za-z0-9*?]+)")
_RESOURCE: Final = re.compile(
    r"arn:(aws[a-z-]*|\$\{AWS::Partition\}):(?P<service>[a-z0-9-]+)"
    r":([a-z0-9-]*|\*|\$\{AWS::Region\}):([0-9]{12}|aws|\*|\$\{AWS::AccountId\}|):(?P<name>\S{1,900})"
)
_REFERENCE: Final = re.compile(r"\$\{(AWS::[A-Za-z]+)\}")
REFERENCES: Final = frozenset({"AWS::AccountId", "AWS::Partition", "AWS::Region"})
"""What an ARN may leave to the deployment, as `${AWS::Region}`."""

_OWN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cloudformation": "stack/",
        "dynamodb": "table/",
        "ecs": "[a-z-]+/",
        "lambda": "function:",
        "s3": "",
        "sqs": "",
    }
)
"""Services in which the system has resources of its own, under names that CloudFormation chose, and
what comes before a name in their ARNs."""
_RIGHTS: Final = frozenset({"account", "iam", "organizations", "sso", "sts"})
"""Services that give rights."""
_ONE_ROLE: Final = frozenset({"iam:PassRole", "sts:AssumeRole"})
"""Their actions that a task may have, on a role named in full."""

_OPERATOR: Final = re.compile(
    r"((ForAllValues|ForAnyValue):)?"
    r"(String(Not)?(Equals(IgnoreCase)?|Like)|Numeric(NotEquals|Equals|(Less|Greater)Than(Equals)?)"
    r"|Date(NotEquals|Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals|(Not)?IpAddress"
    r"|Arn(Not)?(Equals|Like))(IfExists)?|Null"
)
"""Source: IAM User Guide, "IAM JSON policy elements: Condition operators"."""
_CONDITION_KEY: Final = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9_./:=+@-]{1,200}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """One IAM statement of the tasks' role. It allows; what nothing allows is refused."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    because: str | None = None
    """Why it needs a wildcard, for who reviews the deployment."""

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Its actions and resources that match several."""
        return tuple(one for one in (*self.actions, *self.resources) if _is_wild(one))


def read_permissions(table: Table) -> tuple[Permission, ...]:
    """The permissions of a queue. Raises: SettingsError."""
    values = table.value("permissions", list, default=[])
    where = f"[{table.where.removesuffix(']')}.permissions]]"
    found = tuple(
        _read(Table(value, where=f"{where} number {number}", of=Permission))
        for number, value in enumerate(values, start=1)
    )
    size = sum(len(text) for permission in found for text in _texts(permission))
    if size > MOST_CHARACTERS:
        raise SettingsError(
            f"{table.where}: permissions have {size:,} characters, and the role has room for"
            f" {MOST_CHARACTERS:,}: join statements, or use prefixes with a wildcard"
        )
    return found


def _read(table: Table) -> Permission:
    actions = tuple(table.strings("actions"))
    resources = tuple(table.strings("resources"))
    for key, listed in (("actions", actions), ("resources", resources)):
        if not listed or len(set(listed)) < len(listed):
            table.fail(key, list(listed), "name at least one, and each once")
    for resource in resources:
        _check_resource(table, resource)
    for action in actions:
        _check_action(table, action, resources)
    found = Permission(
        actions=actions,
        resources=resources,
        conditions=_conditions(table),
        because=table.value("because", str, default="") or None,
    )
    _check_because(table, found)
    return found


def _check_resource(table: Table, resource: str) -> None:
    if resource == "*":
        return
    if not _RESOURCE.fullmatch(resource) or not resource.isprintable():
        table.fail(
            "resources",
            resource,
            "give an ARN, such as 'arn:aws:s3:::my-bucket/models/*'; ${AWS::Region} and"
            " ${AWS::AccountId} stand for the deployment's",
        )
    for reference in _REFERENCE.findall(resource):
        if reference not in REFERENCES:
            known = ", ".join(f"${{{name}}}" for name in sorted(REFERENCES))
            table.fail("resources", resource, f"the references are {known}")


def _check_action(table: Table, action: str, resources: tuple[str, ...]) -> None:
    found = _ACTION.fullmatch(action)
    if found is None:
        table.fail("actions", action, "name actions of one service, such as 's3:GetObject'")
    service = found["service"]
    if service in _RIGHTS:
        if action not in _ONE_ROLE:
            table.fail(
                "actions",
                action,
                f"tasks give no rights; of these, {_listed(_ONE_ROLE)} can be had",
            )
        for resource in resources:
            if _is_wild(resource):
                table.fail("resources", resource, f"with {action}, name each role in full")
    if service in _OWN:
        for resource in resources:
            _check_not_own(table, action, resource)


def _check_not_own(table: Table, action: str, resource: str) -> None:
    found = _RESOURCE.fullmatch(resource)
    if found is None or (
        found["service"] in _OWN and re.match(f"({_OWN[found['service']]})?[*?]", found["name"])
    ):
        table.fail(
            "resources",
            resource,
            f"with {action} it matches the system's own, and undoes the walls between its queues;"
            " begin with the name of yours",
        )


def _check_because(table: Table, found: Permission) -> None:
    because = found.because
    if because is not None and (not because.isprintable() or not 10 <= len(because) <= 300):
        table.fail("because", because, "say it on one line, in 10 to 300 characters")
    if found.wildcards and because is None:
        wild = found.wildcards[0]
        table.fail(
            "actions" if wild in found.actions else "resources",
            wild,
            'it has a wildcard: name what the task needs, or add because = "…", which says why',
        )


def _conditions(table: Table) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    return MappingProxyType(
        {
            operator: _compared(table, operator, keys)
            for operator, keys in table.value("conditions", dict, default={}).items()
        }
    )


def _compared(table: Table, operator: str, keys: Any) -> Mapping[str, tuple[str, ...]]:
    where = f"{table.where} conditions"
    if not _OPERATOR.fullmatch(operator) or not isinstance(keys, Mapping) or not keys:
        fail(
            where,
            operator,
            keys,
            "write an operator of IAM with a table: StringEquals = { 'aws:SourceVpc' = 'vpc-1' }",
        )
    compared = {}
    for key, values in keys.items():
        listed = values if isinstance(values, list) else [values]
        if not _CONDITION_KEY.fullmatch(key):
            fail(where, key, values, "name a condition key, such as 'aws:SourceVpc'")
        if not listed or not all(isinstance(value, str) for value in listed):
            fail(where, key, values, "it must be a string, or a list of strings; put it in quotes")
        compared[key] = tuple(listed)
    return MappingProxyType(compared)


def _texts(permission: Permission) -> Iterator[str]:
    """All text of a statement, with what IAM writes around it."""
    for text in (*permission.actions, *permission.resources):
        yield f'"{text}",'
    for operator, keys in permission.conditions.items():
        yield f'"{operator}":{{}},'
        for key, values in keys.items():
            yield f'"{key}":{json.dumps(values)},'


def _is_wild(text: str) -> bool:
    return "*" in text or "?" in text


def _listed(names: frozenset[str]) -> str:
    return " and ".join(sorted(names))
