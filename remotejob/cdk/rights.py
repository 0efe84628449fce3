"""What the settings allow the tasks of a queue, besides the library's own calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from remotejob.cdk.checks import acknowledge
from remotejob.settings import Permission

_REFERENCES: Final = {
    "${AWS::AccountId}": cdk.Aws.ACCOUNT_ID,
    "${AWS::Partition}": cdk.Aws.PARTITION,
    "${AWS::Region}": cdk.Aws.REGION,
}
_REFERENCE: Final = re.compile("|".join(map(re.escape, _REFERENCES)))


def let(role: iam.Role, permissions: Iterable[Permission]) -> None:
    """Give the role these permissions; their reasons acknowledge the findings on wildcards."""
    for permission in permissions:
        role.add_to_policy(
            iam.PolicyStatement(
                actions=list(permission.actions),
                resources=[_deployed(resource) for resource in permission.resources],
                conditions={
                    operator: {key: list(values) for key, values in keys.items()}
                    for operator, keys in permission.conditions.items()
                },
            )
        )
        for kind, names in (("Action", permission.actions), ("Resource", permission.resources)):
            for name in names:
                if "*" in name:
                    assert permission.because is not None
                    # a finding writes references so
                    shown = _REFERENCE.sub(lambda found: f"<{found[0][2:-1]}>", name)
                    acknowledge(role, f"IAM5[{kind}::{shown}]", because=permission.because)


def _deployed(resource: str) -> str:
    return _REFERENCE.sub(lambda found: _REFERENCES[found[0]], resource)
