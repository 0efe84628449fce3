"""Stacks and parameters that have the names of ours: whose they are, and what state they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.plan import Plan, PlannedStack
from remotejob.cli.doctor.findings import Finding
from remotejob.names import system_parameter
from remotejob.settings import Stage

TAG: Final = "remotejob"
"""The tag of each stack, with the name of its system."""

_STUCK: Final[Mapping[str, tuple[str, str]]] = {
    "DELETE_FAILED": (
        "its deletion failed",
        "look at its events, then aws cloudformation delete-stack --stack-name {name}",
    ),
    "UPDATE_ROLLBACK_FAILED": (
        "an update failed, and so did its rollback",
        "run: aws cloudformation continue-update-rollback --stack-name {name}",
    ),
}
"""States from which no deployment starts. Source: AWS CloudFormation User Guide, "Stack status
codes". The CDK itself deletes a stack whose creation failed."""

_NOT_CREATED: Final = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")


def check_stacks(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether a deployment would update somebody else's stack, or cannot start, or would take the
    protection off a production system."""
    cloudformation = client("cloudformation")
    for stack in plan.stacks:
        found = described(cloudformation, stack.name)
        if found is not None:
            yield from _check(plan.stage, stack, found)


def _check(stage: Stage, stack: PlannedStack, found: Mapping[str, Any]) -> Iterator[Finding]:
    ours, theirs = stack.tags.get(TAG), _tags(found).get(TAG)
    status = found["StackStatus"]
    if ours is not None and ours != theirs:
        whose = "is not remotejob's" if theirs is None else f"belongs to system {theirs!r}"
        yield Finding(
            place=stack.name,
            what=f"a stack of this name exists, and {whose}: a deployment would turn it into ours",
            remedy="give this system another `name` under [system] in remotejob.toml",
        )
    if status in _STUCK:
        what, remedy = _STUCK[status]
        yield Finding(
            place=stack.name, what=f"{what} ({status})", remedy=remedy.format(name=stack.name)
        )
    elif status in _NOT_CREATED and found.get("EnableTerminationProtection"):
        yield Finding(
            place=stack.name,
            what=f"its creation failed ({status}), and its protection keeps it from being deleted"
            " and made again",
            remedy="run: aws cloudformation update-termination-protection"
            f" --no-enable-termination-protection --stack-name {stack.name}",
        )
    elif status.endswith("_IN_PROGRESS"):
        yield Finding(
            place=stack.name,
            what=f"another deployment is under way ({status})",
            remedy=f"wait: aws cloudformation describe-stacks --stack-name {stack.name}",
        )
    protected = found.get("EnableTerminationProtection") and status not in _NOT_CREATED
    if stage is Stage.DEVELOPMENT and ours is not None and protected:
        yield Finding(
            place=stack.name,
            what="it is deployed for production, and a deployment for development takes away what"
            " protects its data",
            remedy="deploy production, or another system name; if it shall lose its protection,"
            " deploy it once with `remotejob cdk deploy --all -c stage=development`",
        )


def check_parameters(plan: Plan, client: Clients) -> Iterator[Finding]:
    """Whether the name by which clients find a system is taken."""
    ssm, cloudformation = client("ssm"), client("cloudformation")
    for system in plan.systems:
        name = system_parameter(system)
        try:
            ssm.get_parameter(Name=name)
        except ssm.exceptions.ParameterNotFound:
            continue
        holders = [
            stack.name
            for stack in plan.stacks
            if name in (one.get("Name") for one in stack.resources("AWS::SSM::Parameter").values())
        ]
        if not any(described(cloudformation, holder) for holder in holders):
            yield Finding(
                place=name,
                what=f"the parameter exists, and its stack {', '.join(holders)} does not: another"
                f" app has a system named {system!r} in this account and region",
                remedy="give this system another `name`; if nothing uses the parameter any more,"
                f" aws ssm delete-parameter --name {name}",
            )


def described(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """A stack as CloudFormation describes it; None if there is none."""
    try:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has no code of its own for this
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return found


def _tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in found.get("Tags", [])}
