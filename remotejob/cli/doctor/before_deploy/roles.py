"""Service-linked roles: AWS makes them at a service's first use, which can be too late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.findings import Finding

_NEEDED: Final[Mapping[str, tuple[str, str]]] = {
    "AWS::ECS::Cluster": ("ecs.amazonaws.com", "AWSServiceRoleForECS"),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
    ),
}
"""The service and its role, for each type of resource that fails without.

Source: Amazon ECS Developer Guide, "Using service-linked roles for Amazon ECS"; Application Auto
Scaling User Guide, "Service-linked roles"; cloudformation-coverage-roadmap, issue 818.
"""


def check(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether the roles that the templates need are there."""
    iam = client("iam")
    for kind, (service, role) in _NEEDED.items():
        if not any(stack.resources(kind) for stack in plan.stacks):
            continue
        try:
            iam.get_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            yield Finding(
                place=role,
                what=f"the service-linked role of {service} is missing, without which a first"
                " deployment can fail",
                remedy=f"aws iam create-service-linked-role --aws-service-name {service}",
            )
