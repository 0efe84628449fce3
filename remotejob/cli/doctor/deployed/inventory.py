"""What CloudFormation deployed for a system: its stacks, and their resources as the templates have
them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.names import Part, stack_name

_NO_STACK: Final = "ValidationError"
"""Source: AWS CloudFormation API Reference, DescribeStacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One resource of a stack."""

    kind: str
    """Its type, such as `AWS::SQS::Queue`."""
    logical_id: str
    physical_id: str
    """As CloudFormation names it: of a queue, the URL."""
    properties: Mapping[str, Any]
    """As the template has them, references included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployedStack:
    name: str
    status: str
    reason: str
    changed_at: datetime
    resources: tuple[Resource, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """The stacks of a system."""

    stacks: Mapping[Part, DeployedStack] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Names of the stacks that do not exist."""

    def of(self, kind: str, *parts: Part) -> list[Resource]:
        """The resources of a kind, of these stacks or of all."""
        return [
            one
            for part, stack in self.stacks.items()
            if not parts or part in parts
            for one in stack.resources
            if one.kind == kind and one.physical_id
        ]

    def one(self, logical_id: str) -> Resource | None:
        """The resource with this logical id."""
        found = (one for stack in self.stacks.values() for one in stack.resources)
        return next((one for one in found if one.logical_id == logical_id), None)


def read_inventory(client: Any, system: str) -> Inventory:
    """Read the stacks of a system with a client for CloudFormation.

    Raises: botocore's errors.
    """
    stacks: dict[Part, DeployedStack] = {}
    missing: list[str] = []
    for part in Part:
        name = stack_name(system, part)
        try:
            described = client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != _NO_STACK:
                raise
            missing.append(name)
            continue
        template = client.get_template(StackName=name)["TemplateBody"]
        template = json.loads(template) if isinstance(template, str) else template
        stacks[part] = DeployedStack(
            name=name,
            status=described["StackStatus"],
            reason=described.get("StackStatusReason", ""),
            changed_at=described.get("LastUpdatedTime", described["CreationTime"]),
            resources=tuple(_resources(client, name, template["Resources"])),
        )
    return Inventory(stacks=stacks, missing=tuple(missing))


def _resources(client: Any, stack: str, template: Mapping[str, Any]) -> Iterator[Resource]:
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for one in page["StackResourceSummaries"]:
            logical_id = one["LogicalResourceId"]
            if logical_id in template:
                yield Resource(
                    kind=template[logical_id]["Type"],
                    logical_id=logical_id,
                    physical_id=one.get("PhysicalResourceId", ""),
                    properties=template[logical_id].get("Properties", {}),
                )


def refers_to(value: Any, logical_ids: Sequence[str]) -> str | None:
    """Which of these resources a value of a template refers to; None if it refers to none."""
    text = json.dumps(value)
    return next((one for one in logical_ids if f'"{one}"' in text), None)
