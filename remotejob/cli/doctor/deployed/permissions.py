"""The roles of workers and functions: that they have their policies, and that nothing denies what
these allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.deployed.inventory import Inventory, Resource, refers_to
from remotejob.cli.doctor.findings import Finding
from remotejob.names import Part

_AT_A_TIME: Final = 4
"""IAM allows few requests a second."""

_SIMULATED: Final = frozenset({"StringEquals", "StringLike", "ArnLike"})
"""Conditions that one value of a request fulfils."""

_DEPLOY: Final = "deploy the stack of the role again, with a change of it"


def check_permissions(context: Context) -> Iterator[Finding]:
    """Simulate what the roles' own policies allow: boundaries, policies of the organization and
    explicit denies may refuse it.

    A request is simulated with the tags and other values that a statement asks for. Statements
    with conditions of another kind are left out.
    Source: IAM API Reference, SimulatePrincipalPolicy.
    """
    client, inventory = context.client("iam"), context.inventory
    roles = inventory.of("AWS::IAM::Role", Part.FUNCTIONS, Part.WORKERS)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for found in pool.map(lambda role: list(_of(client, role, inventory)), roles):
            yield from found


def _of(client: Any, role: Resource, inventory: Inventory) -> Iterator[Finding]:
    name, place = role.physical_id, f"role {role.physical_id}"
    try:
        arn = client.get_role(RoleName=name)["Role"]["Arn"]
    except client.exceptions.NoSuchEntityException:
        yield Finding(place=place, what="it does not exist", remedy=_DEPLOY)
        return
    live = [
        statement
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]
        for statement in _listed(
            client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]
        )
    ]
    wanted = _statements(role, inventory)
    if len(live) < wanted:
        yield Finding(
            place=place,
            what=f"its policies have {len(live)} of {wanted} statements: somebody took rights away",
            remedy=_DEPLOY,
        )
    for statement in live:
        if statement["Effect"] == "Allow" and statement.get("Condition", {}).keys() <= _SIMULATED:
            yield from _denied(client, place, arn, statement)


def _denied(client: Any, place: str, arn: str, statement: Mapping[str, Any]) -> Iterator[Finding]:
    actions = [one for one in _listed(statement["Action"]) if "*" not in one]
    resources = [_example(one) for one in _listed(statement["Resource"])]
    if not actions:
        return
    answer = client.simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=actions,
        ResourceArns=resources,
        ContextEntries=_context(statement.get("Condition", {})),
    )
    for result in answer["EvaluationResults"]:
        if result["EvalDecision"] == "allowed":
            continue
        by = "a policy denies it"
        if result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
            by = "a policy of the organization denies it"
        elif (
            result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary")
            is False
        ):
            by = "its permissions boundary does not allow it"
        yield Finding(
            place=place,
            what=f"it may not {result['EvalActionName']} on "
            f"{result.get('EvalResourceName', resources[0])}: {by}",
            remedy="change that policy, or ask whoever keeps it",
        )


def _context(condition: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The values of a request that the condition allows."""
    return [
        {
            "ContextKeyName": key,
            "ContextKeyValues": [_example(_listed(value)[0])],
            "ContextKeyType": "string",
        }
        for keys in condition.values()
        for key, value in keys.items()
    ]


def _example(resource: str) -> str:
    """One of the resources that a pattern stands for."""
    return resource if resource == "*" else resource.replace("*", "x")


def _statements(role: Resource, inventory: Inventory) -> int:
    """How many statements the deployed inline policies of a role have."""
    policies = [
        one.properties["PolicyDocument"]
        for one in inventory.of("AWS::IAM::Policy", Part.FUNCTIONS, Part.WORKERS)
        if refers_to(one.properties.get("Roles", ()), [role.logical_id]) is not None
    ]
    policies += [one["PolicyDocument"] for one in role.properties.get("Policies", ())]
    return sum(len(_listed(policy["Statement"])) for policy in policies)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
