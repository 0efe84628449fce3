"""Quotas of the account that a deployment, or its workers, would meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.findings import Finding, Severity

_VPCS: Final = ("vpc", "L-F678F1CE")
"""Source: Amazon VPC User Guide, "Amazon VPC quotas": VPCs per Region."""
FARGATE: Final = {
    "On-Demand": ("fargate", "L-3032A538"),
    "Spot": ("fargate", "L-36FBB829"),
}
"""Source: AWS General Reference, "Amazon ECS endpoints and quotas": Fargate On-Demand and Spot vCPU
resource count. New accounts have lower values at first."""
_LEAST_CONCURRENCY: Final = 20
"""Executions at a time: the upload function takes ten, and others need some, too."""
_UNITS_PER_VCPU: Final = 1024


def vpcs(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether the account has room for the VPCs of stacks that do not exist yet."""
    existing = _existing_stacks(client)
    wanted = sum(
        len(stack.resources("AWS::EC2::VPC")) for stack in plan.stacks if stack.name not in existing
    )
    if not wanted:
        return
    quota = quota_of(client, _VPCS)
    pages = client("ec2").get_paginator("describe_vpcs").paginate()
    used = sum(len(page["Vpcs"]) for page in pages)
    if used + wanted > quota:
        yield Finding(
            place="quota of VPCs",
            what=f"there are {used} VPCs, the stacks make {wanted} more, and the region's quota is"
            f" {quota:g}",
            remedy="use a VPC that is there (docs/network.md), delete one, or "
            + how_to_raise(_VPCS, used + wanted),
        )


def fargate(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether one worker of each queue fits in the quota."""
    sizes = [
        int(properties["Cpu"]) / _UNITS_PER_VCPU
        for stack in plan.stacks
        for properties in stack.resources("AWS::ECS::TaskDefinition").values()
        if isinstance(properties.get("Cpu"), str | int)
    ]
    if not sizes:
        return
    named = _names_in(plan)
    for kind, code in FARGATE.items():
        if kind == "Spot" and "FARGATE_SPOT" not in named:
            continue
        quota = quota_of(client, code)
        if quota < max(sizes):
            yield Finding(
                place=f"quota of Fargate {kind}",
                what=f"a worker takes {max(sizes):g} vCPU, and the region's quota is {quota:g}: it"
                " can never start",
                remedy="choose a smaller `cpu` in remotejob.toml, or "
                + how_to_raise(code, sum(sizes)),
            )
        elif quota < sum(sizes):
            yield Finding(
                place=f"quota of Fargate {kind}",
                what=f"one worker a queue takes {sum(sizes):g} vCPU, and the region's quota is"
                f" {quota:g}: some queues wait for others",
                remedy=how_to_raise(code, sum(sizes)),
                severity=Severity.WARNING,
            )


def functions(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether the account's functions may run often enough at a time.

    Source: AWS Lambda API Reference, GetAccountSettings; new accounts begin with 10.
    """
    if not any(stack.resources("AWS::Lambda::Function") for stack in plan.stacks):
        return
    limits = client("lambda").get_account_settings()["AccountLimit"]
    free = limits["UnreservedConcurrentExecutions"]
    if free < _LEAST_CONCURRENCY:
        yield Finding(
            place="quota of Lambda",
            what=f"{free} functions may run at a time in this account and region, so many uploads,"
            " or another program, can hold up the scheduler",
            remedy=how_to_raise(("lambda", "L-B99A9384"), 1000),
            severity=Severity.WARNING,
        )


def quota_of(client: Callable[[str], Any], code: tuple[str, str]) -> float:
    """The value of a quota, by its service and code."""
    service, quota = code
    answer = client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=quota)
    return float(answer["Quota"]["Value"])


def how_to_raise(code: tuple[str, str], value: float) -> str:
    """The remedy for a quota that is too low."""
    service, quota = code
    return (
        "raise the quota: aws service-quotas request-service-quota-increase"
        f" --service-code {service} --quota-code {quota} --desired-value {value:g}"
    )


def _existing_stacks(client: Clients) -> set[str]:
    pages = client("cloudformation").get_paginator("describe_stacks").paginate()
    return {stack["StackName"] for page in pages for stack in page["Stacks"]}


def _names_in(plan: Plan) -> set[str]:
    """The capacity providers that the services name."""
    found: set[str] = set()
    for stack in plan.stacks:
        for properties in stack.resources("AWS::ECS::Service").values():
            strategy: list[Mapping[str, Any]] = properties.get("CapacityProviderStrategy", [])
            found |= {str(one.get("CapacityProvider")) for one in strategy}
    return found
