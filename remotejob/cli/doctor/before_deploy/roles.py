"""The role that AWS makes for ECS at its first use, which is too late for a first deployment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.findings import Finding

_ROLE: Final = "AWSServiceRoleForECS"
_PATH: Final = "/aws-service-role/ecs.amazonaws.com/"


def check(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether ECS has its service-linked role.

    Source: Amazon ECS Developer Guide, "Using service-linked roles for Amazon ECS";
    cloudformation-coverage-roadmap, issue 818.
    """
    if not any(stack.resources("AWS::ECS::Cluster") for stack in plan.stacks):
        return
    pages = client("iam").get_paginator("list_roles").paginate(PathPrefix=_PATH)
    if not any(page["Roles"] for page in pages):
        yield Finding(
            place=_ROLE,
            what="the service-linked role of ECS is missing, without which the first deployment of"
            " a cluster fails",
            remedy="run: aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
        )
