"""What of a plan is in the account, and what that costs: after a deployment, or half of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from remotejob.cli.deploy.clients import Clients
from remotejob.cli.deploy.idle_cost import CostLine, Priced, idle_cost, worker_line
from remotejob.cli.deploy.plan import Plan, PlannedStack
from remotejob.cli.doctor.before_deploy.stacks import described
from remotejob.jobs.queries.prices import Prices

_GONE: Final = "DELETE_COMPLETE"
_SERVICE: Final = "AWS::ECS::Service"


@dataclass(frozen=True, kw_only=True, slots=True)
class StackState:
    """A stack of the plan."""

    name: str
    status: str | None
    """As CloudFormation says it; None if the stack does not exist."""
    reason: str | None = None
    """The first thing that failed, and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """The stacks as they are now, with what they cost by the hour."""

    stacks: tuple[StackState, ...]
    lines: tuple[CostLine, ...]


def look(plan: Plan, client: Clients, prices: Prices) -> Deployed:
    """Read the stacks, their resources, and how many workers run."""
    cloudformation = client("cloudformation")
    states: list[StackState] = []
    resources: list[Priced] = []
    services: list[str] = []
    for stack in plan.stacks:
        found = described(cloudformation, stack.name)
        if found is None:
            states.append(StackState(name=stack.name, status=None))
            continue
        status = found["StackStatus"]
        reason = None if _succeeded(status) else _first_failure(cloudformation, stack.name)
        states.append(StackState(name=stack.name, status=status, reason=reason))
        for kind, logical, physical in _resources(cloudformation, stack):
            resources.append(Priced(kind=kind, properties=stack.resources(kind).get(logical, {})))
            if kind == _SERVICE:
                services.append(physical)
    workers = [line for line in _workers(services, client, prices) if line.count]
    return Deployed(stacks=tuple(states), lines=(*workers, *idle_cost(resources, prices)))


def _succeeded(status: str) -> bool:
    return status.endswith("_COMPLETE") and "ROLLBACK" not in status


def _resources(cloudformation: Any, stack: PlannedStack) -> Iterator[tuple[str, str, str]]:
    """Type, logical id and physical id of each resource that exists."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.name)
    for page in pages:
        for one in page["StackResourceSummaries"]:
            physical = one.get("PhysicalResourceId")
            if one["ResourceStatus"] != _GONE and physical:
                yield one["ResourceType"], one["LogicalResourceId"], physical


def _first_failure(cloudformation: Any, name: str) -> str | None:
    """The oldest failed event of the last operation; later ones follow from it."""
    failures: list[str] = []
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    for page in pages:
        for event in page["StackEvents"]:
            status = event.get("ResourceStatus", "")
            if status.endswith("_FAILED"):
                failures.append(
                    f"{event['LogicalResourceId']} ({event.get('ResourceType')}): "
                    f"{event.get('ResourceStatusReason', 'no reason given')}"
                )
            if event["LogicalResourceId"] == name and status in (
                "CREATE_IN_PROGRESS",
                "UPDATE_IN_PROGRESS",
                "DELETE_IN_PROGRESS",
            ):
                return failures[-1] if failures else None
    return failures[-1] if failures else None


def _workers(services: list[str], client: Clients, prices: Prices) -> Iterator[CostLine]:
    ecs = client("ecs")
    for arn in services:
        # arn:…:service/CLUSTER/NAME
        cluster = arn.rsplit("/", 2)[-2]
        answer = ecs.describe_services(cluster=cluster, services=[arn])
        for service in answer["services"]:
            count = service["runningCount"] + service["pendingCount"]
            if not count:
                continue
            definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
            task = definition["taskDefinition"]
            yield worker_line(
                count=count,
                cpu_units=int(task["cpu"]),
                memory_mib=int(task["memory"]),
                prices=prices,
            )
