"""The CDK's bootstrap stack: whether it is there, new enough, and how much it may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan
from remotejob.cli.doctor.before_deploy.account import Identity
from remotejob.cli.doctor.findings import Finding, Severity
from remotejob.cli.program import called_as

DEFAULT_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
"""Source: AWS CDK Developer Guide, "Bootstrap your environment"; the default qualifier."""
_ADMINISTRATOR: Final = ":iam::aws:policy/AdministratorAccess"
_SCOPED: Final = "docs/deploy.md, Bootstrap, has a policy that holds what the stacks need"


def version(plan: Plan, client: Clients, identity: Identity) -> Iterator[Finding]:
    """Whether each stack finds the version of the bootstrap stack that it needs."""
    needed: dict[str, int] = {}
    for stack in plan.stacks:
        if stack.bootstrap_version is not None:
            parameter = stack.bootstrap_parameter or DEFAULT_PARAMETER
            needed[parameter] = max(needed.get(parameter, 0), stack.bootstrap_version)
    ssm = client("ssm")
    command = f"{called_as()} cdk bootstrap aws://{identity.account}/{identity.region}"
    for parameter, least in needed.items():
        try:
            found = int(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
        except ssm.exceptions.ParameterNotFound:
            yield Finding(
                place=parameter,
                what="the account is not bootstrapped in this region",
                remedy=f"run: {command} ({_SCOPED})",
            )
            continue
        if found < least:
            yield Finding(
                place=parameter,
                what=f"the bootstrap stack has version {found}, and the stacks need {least}",
                remedy=f"run: {command}",
            )


def policies(plan: Plan, client: Clients, identity: Identity) -> Iterator[Finding]:
    """Whether CloudFormation deploys with all rights of an administrator, bootstrap's default."""
    iam = client("iam")
    for qualifier in sorted({_qualifier(stack.bootstrap_parameter) for stack in plan.stacks}):
        role = f"cdk-{qualifier}-cfn-exec-role-{identity.account}-{identity.region}"
        try:
            pages = iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
            attached = [one["PolicyArn"] for page in pages for one in page["AttachedPolicies"]]
        except iam.exceptions.NoSuchEntityException:
            # without a bootstrap stack, or with roles of the account's own
            continue
        if any(arn.endswith(_ADMINISTRATOR) for arn in attached):
            yield Finding(
                place=role,
                what="CloudFormation deploys as an administrator, so whoever may deploy may do"
                " anything in this account",
                remedy=_SCOPED,
                severity=Severity.WARNING,
            )


def _qualifier(parameter: str | None) -> str:
    return (parameter or DEFAULT_PARAMETER).split("/")[2]
