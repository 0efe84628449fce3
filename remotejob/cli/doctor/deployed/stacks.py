"""Stacks that are missing, failed or stuck."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.deployed.inventory import DeployedStack
from remotejob.cli.doctor.findings import Finding, Severity

_LONG: Final = timedelta(minutes=30)
"""How long a deployment may take before it is worth a look; CloudFormation gives up after three
hours."""

_READ_EVENTS: Final = "aws cloudformation describe-stack-events --stack-name"


def check_stacks(context: Context) -> Iterator[Finding]:
    if not context.inventory.stacks:
        # its description was found: it is part of a stack of somebody's own
        yield Finding(
            place="the stacks",
            what=f"could not check: there are none named {', '.join(context.inventory.missing)}, so"
            " what CloudFormation deployed was not looked at",
            remedy="if an app of yours has the system in a stack of its own, look at that stack:"
            f" {_READ_EVENTS} NAME; else deploy: remotejob deploy",
            severity=Severity.WARNING,
        )
        return
    for name in context.inventory.missing:
        yield Finding(
            place=f"stack {name}",
            what="it does not exist",
            remedy="deploy all stacks: remotejob deploy",
        )
    for stack in context.inventory.stacks.values():
        finding = _of(stack)
        if finding is not None:
            yield finding


def _of(stack: DeployedStack) -> Finding | None:
    place, status = f"stack {stack.name}", stack.status
    said = f"it is {status}" + (f" ({stack.reason})" if stack.reason else "")
    if status == "UPDATE_ROLLBACK_FAILED":
        return Finding(
            place=place,
            what=said,
            remedy="mend what its events name, then: aws cloudformation continue-update-rollback "
            f"--stack-name {stack.name}",
        )
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"):
        return Finding(
            place=place,
            what=f"{said}: it was never deployed",
            remedy=f"read why: {_READ_EVENTS} {stack.name}; then delete the stack, and deploy",
        )
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return Finding(
            place=place,
            what=f"{said}: the last deployment failed, and the one before it is in place",
            remedy=f"read why: {_READ_EVENTS} {stack.name}; then deploy again",
            severity=Severity.WARNING,
        )
    if status.endswith("_FAILED"):
        return Finding(
            place=place, what=said, remedy=f"read why: {_READ_EVENTS} {stack.name}; then try again"
        )
    if status.endswith("_IN_PROGRESS"):
        since = datetime.now(UTC) - stack.changed_at
        if since > _LONG:
            return Finding(
                place=place,
                what=f"{said} for {since // timedelta(minutes=1)} min",
                remedy="busy workers hold a deployment up until their jobs have ended; read its "
                f"events: {_READ_EVENTS} {stack.name}",
                severity=Severity.WARNING,
            )
    return None
