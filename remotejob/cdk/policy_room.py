"""Refuses what makes a role's policy longer than IAM takes, before the deploy does."""

from __future__ import annotations

import json
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from remotejob.domain.errors import SettingsError

ROOM: Final = 10_240
"""Characters of all inline policies of a role, without spaces. Source: IAM User Guide, "IAM and AWS
STS quotas"."""

_REFERENCE: Final = 40
"""Characters of an ARN that only the deployment knows: fewer than any has, so that what fits is
never refused."""
_PSEUDO: Final = 3
"""Of AWS::Partition and the like, the same way."""


def check_room(role: iam.Role, queue: str) -> None:
    """Refuse settings of a queue that its workers' role has no room for. Raises: SettingsError."""
    policy = role.node.find_child("DefaultPolicy")
    assert isinstance(policy, iam.Policy)
    size = len(_written(Stack.of(role).resolve(policy.document)))
    if size > ROOM:
        raise SettingsError(
            f"[queues.{queue}]: the policy of its workers has at least {size:,} characters, and IAM"
            f" takes {ROOM:,}: name fewer or shorter `inputs`, route prefixes, `permissions` or"
            " `readable_buckets`, such as one prefix above several"
        )


def _written(value: Any) -> str:
    """The policy as IAM counts it, with something as long as each reference at least is."""
    return json.dumps(_with_stand_ins(value), separators=(",", ":"), ensure_ascii=False)


def _with_stand_ins(value: Any) -> Any:
    match value:
        case {"Fn::Join": [str(between), [*parts]]}:
            return between.join(str(_with_stand_ins(part)) for part in parts)
        case {"Ref": str(name)} if name.startswith("AWS::"):
            return "x" * _PSEUDO
        case {"Ref": _} | {"Fn::GetAtt": _} | {"Fn::ImportValue": _} | {"Fn::GetStackOutput": _}:
            return "x" * _REFERENCE
        case dict():
            return {key: _with_stand_ins(inner) for key, inner in value.items()}
        case list():
            return [_with_stand_ins(inner) for inner in value]
    return value
