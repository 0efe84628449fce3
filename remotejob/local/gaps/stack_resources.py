"""How single resources of a stack are updated and deleted, where moto does it otherwise or not.

An update gives the same resource, or another one in its place, which then has another physical id.
Sources: AWS CloudFormation Template Reference, "Update requires" of each property.

Limits: of a type that neither is listed here nor updated by moto, the existing resource stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.cloudformation import parsing
from moto.cloudformation.parsing import ResourceMap
from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from moto.ssm.models import ssm_backends

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A resource that is to have other properties."""

    existing: Any
    name: str
    """Its logical id."""
    definition: dict[str, Any]
    before: Mapping[str, Any]
    """Its properties until now."""
    resources: ResourceMap

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.definition["Properties"]
        return found

    @property
    def account(self) -> str:
        return self.resources._account_id

    @property
    def region(self) -> str:
        return self.resources._region_name

    def has_other(self, *names: str) -> bool:
        """Whether one of these properties is another one."""
        return any(self.properties.get(name) != self.before.get(name) for name in names)

    def made_anew(self) -> Any:
        """A new resource with these properties; a generated name is a new one."""
        model, document, generated = parsing.parse_resource_and_generate_name(
            self.name, self.definition, self.resources
        )
        return model.create_from_cloudformation_json(
            generated, document, self.account, self.region, LogicalId=self.name,
            StackId=self.resources.stack_id, ResourceType=self.definition["Type"],
        )  # fmt: skip


Update = Callable[[Change], Any]
Delete = Callable[[Any, Mapping[str, Any], str, str], None]
UPDATES: dict[str, Update] = {}
DELETIONS: dict[str, Delete] = {}


def update(
    existing: Any,
    *,
    name: str,
    definition: dict[str, Any],
    before: Mapping[str, Any],
    resources: ResourceMap,
) -> Any:
    """Give a resource the properties of `definition`; return it, or the one in its place."""
    change = Change(
        existing=existing, name=name, definition=definition, before=before, resources=resources
    )
    kind = definition["Type"]
    if kind.startswith("Custom::"):
        kind = "Custom::S3BucketNotifications" if "S3BucketNotifications" in kind else "Custom::"
    if kind in UPDATES:
        return UPDATES[kind](change)
    model = parsing.resource_class_from_type(definition["Type"])
    if model is None or hasattr(model.update_from_cloudformation_json, "__isabstractmethod__"):
        _LOG.info("%s stays as it was: a %s is not updated here", name, definition["Type"])
        return existing
    updated = parsing.parse_and_update_resource(
        name, definition, resources, account_id=change.account, region_name=change.region
    )
    return existing if updated is None else updated


def delete(resource: Any, definition: dict[str, Any], resources: ResourceMap) -> None:
    """Delete a resource. Raises: whatever its service says against it."""
    kind = definition["Type"]
    account, region = resources._account_id, resources._region_name
    if kind in DELETIONS:
        document = parsing.clean_json(definition.get("Properties", {}), resources)
        DELETIONS[kind](resource, document, account, region)
        return
    if isinstance(resource, str) or kind.startswith("Custom::"):
        return
    document = parsing.clean_json(definition.get("Properties", {}), resources)
    resources._delete_resource(resource, {**definition, "Properties": document})


def _updates(kind: str) -> Callable[[Update], Update]:
    def register(function: Update) -> Update:
        UPDATES[kind] = function
        return function

    return register


def _deletes(kind: str) -> Callable[[Delete], Delete]:
    def register(function: Delete) -> Delete:
        DELETIONS[kind] = function
        return function

    return register


# --- updates -------------------------------------------------------------------------------------


@_updates("AWS::ECS::TaskDefinition")
def _revise_task_definition(change: Change) -> Any:
    return change.made_anew()


@_updates("AWS::SQS::Queue")
def _update_queue(change: Change) -> Any:
    if change.has_other("QueueName", "FifoQueue"):
        return change.made_anew()
    backend = sqs_backends[change.account][change.region]
    queue = backend.get_queue(change.existing.name)
    policy = queue.policy
    attributes = {
        name: value
        for name, value in change.properties.items()
        if name not in ("QueueName", "Tags")
    }
    if "RedrivePolicy" not in attributes and queue.redrive_policy:
        queue.redrive_policy, queue.dead_letter_queue = {}, None
    queue._set_attributes(attributes)
    # a template of a queue has no policy; that is a resource of its own
    queue.policy = policy
    return queue


@_updates("AWS::SSM::Parameter")
def _update_parameter(change: Change) -> Any:
    if change.has_other("Name"):
        return change.made_anew()
    backend = ssm_backends[change.account][change.region]
    return backend.put_parameter(
        name=change.existing.name,
        description=change.properties.get("Description", ""),
        value=change.properties.get("Value", ""),
        parameter_type=change.properties.get("Type", "String"),
        allowed_pattern=change.properties.get("AllowedPattern", ""),
        keyid="",
        overwrite=True,
        tags=[],
        data_type=change.properties.get("DataType", "text"),
        tier=change.properties.get("Tier", "Standard"),
        policies=change.properties.get("Policies", ""),
    )


@_updates("AWS::Events::Rule")
def _update_rule(change: Change) -> Any:
    # under its own name, which its target's permission names
    change.existing.delete(change.account, change.region)
    return type(change.existing).create_from_cloudformation_json(
        change.existing.name, change.definition, change.account, change.region
    )


@_updates("AWS::IAM::Role")
def _update_role(change: Change) -> Any:
    role = change.existing
    if change.has_other("RoleName", "Path"):
        return change.made_anew()
    document = change.properties["AssumeRolePolicyDocument"]
    role.assume_role_policy_document = (
        document if isinstance(document, str) else json.dumps(document)
    )
    role.description = change.properties.get("Description", role.description)
    for policy in change.before.get("Policies", []):
        role.policies.pop(policy["PolicyName"], None)
    for policy in change.properties.get("Policies", []):
        role.put_policy(policy["PolicyName"], policy["PolicyDocument"])
    for arn in change.before.get("ManagedPolicyArns", []):
        role.managed_policies.pop(arn, None)
    attach_policies(role, change.properties, change.account)
    return role


def attach_policies(role: Any, properties: Mapping[str, Any], account: str) -> None:
    """Attach the managed policies that a template names."""
    for arn in properties.get("ManagedPolicyArns", []):
        iam_backends[account]["aws"].attach_role_policy(arn, role.name)


@_updates("AWS::IAM::ManagedPolicy")
def _update_managed_policy(change: Change) -> Any:
    if change.has_other("ManagedPolicyName", "Path", "Description"):
        return change.made_anew()
    policy = change.existing
    document = json.dumps(change.properties["PolicyDocument"])
    for version in policy.versions:
        if version.is_default:
            version.document = document
    backend = iam_backends[change.account]["aws"]
    for role in change.before.get("Roles", []):
        if role not in change.properties.get("Roles", []):
            backend.detach_role_policy(policy.arn, role)
    for role in change.properties.get("Roles", []):
        if role not in change.before.get("Roles", []):
            backend.attach_role_policy(policy.arn, role)
    return policy


@_updates("AWS::Logs::LogGroup")
def _update_log_group(change: Change) -> Any:
    backend = logs_backends[change.account][change.region]
    if "RetentionInDays" in change.properties:
        backend.put_retention_policy(change.existing.name, change.properties["RetentionInDays"])
    else:
        backend.delete_retention_policy(change.existing.name)
    return change.existing


@_updates("AWS::Lambda::Permission")
def _update_permission(change: Change) -> Any:
    _delete_permission(change.existing, change.before, change.account, change.region)
    return change.made_anew()


@_updates("AWS::ECS::Cluster")
def _update_cluster(change: Change) -> Any:
    return change.made_anew() if change.has_other("ClusterName") else change.existing


@_updates("Custom::")
def _keep_custom(change: Change) -> Any:
    return change.existing


# --- deletions -----------------------------------------------------------------------------------


@_deletes("AWS::ECS::Service")
def _delete_service(service: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    backend = ecs_backends[account][region]
    backend.delete_service(service.cluster_name, service.name, force=True)
    backend.services.pop(f"{service.cluster_name}:{service.name}", None)


@_deletes("AWS::ECS::Cluster")
def _delete_cluster(cluster: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    ecs_backends[account][region].clusters.pop(cluster.name, None)


@_deletes("AWS::ECS::TaskDefinition")
def _deregister(definition: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    backend = ecs_backends[account][region]
    backend.describe_task_definition(definition.arn).status = "INACTIVE"


@_deletes("AWS::SQS::QueuePolicy")
def _delete_queue_policy(_: Any, document: Mapping[str, Any], account: str, region: str) -> None:
    queues = sqs_backends[account][region].queues
    for url in document.get("Queues", []):
        queue = queues.get(str(url).rpartition("/")[2])
        if queue is not None:
            queue.policy = None


@_deletes("AWS::IAM::ManagedPolicy")
def _delete_managed_policy(policy: Any, _: Mapping[str, Any], account: str, __: str) -> None:
    backend = iam_backends[account]["aws"]
    for holders in (backend.roles, backend.users, backend.groups):
        for holder in holders.values():
            holder.managed_policies.pop(policy.arn, None)
    backend.managed_policies.pop(policy.arn, None)


@_deletes("AWS::Lambda::Permission")
def _delete_permission(
    permission: Any, document: Mapping[str, Any], account: str, region: str
) -> None:
    name = str(document.get("FunctionName", ""))
    functions = lambda_backends[account][region]
    try:
        functions.remove_permission(name, permission.physical_resource_id)
    except Exception:  # noqa: BLE001 (the function is gone, and its policy with it)
        _LOG.debug("no permission to remove from %s", name, exc_info=True)


@_deletes("AWS::S3::Bucket")
def _delete_bucket(bucket: Any, _: Mapping[str, Any], account: str, __: str) -> None:
    if s3_backends[account]["aws"].delete_bucket(bucket.name) is None:
        raise BucketNotEmpty(
            f"The bucket you tried to delete is not empty: {bucket.name}. You must delete all"
            " versions in the bucket."
        )


class BucketNotEmpty(Exception):
    """A bucket that still has objects."""


@_deletes("AWS::EC2::VPCGatewayAttachment")
def _detach_gateway(_: Any, document: Mapping[str, Any], account: str, region: str) -> None:
    if "InternetGatewayId" in document:
        ec2_backends[account][region].detach_internet_gateway(
            document["InternetGatewayId"], document["VpcId"]
        )


@_deletes("AWS::EC2::InternetGateway")
def _delete_gateway(gateway: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    ec2_backends[account][region].delete_internet_gateway(gateway.id)


@_deletes("AWS::EC2::Route")
def _delete_route(_: Any, document: Mapping[str, Any], account: str, region: str) -> None:
    ec2_backends[account][region].delete_route(
        document["RouteTableId"], str(document.get("DestinationCidrBlock"))
    )


@_deletes("AWS::EC2::SubnetRouteTableAssociation")
def _disassociate(_: Any, document: Mapping[str, Any], account: str, region: str) -> None:
    backend = ec2_backends[account][region]
    table = backend.get_route_table(document["RouteTableId"])
    for association, subnet in list(table._associations.items()):
        if subnet == document["SubnetId"]:
            backend.disassociate_route_table(association)


@_deletes("AWS::EC2::RouteTable")
def _delete_route_table(table: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    ec2_backends[account][region].delete_route_table(table.id)


@_deletes("AWS::EC2::VPCEndpoint")
def _delete_endpoint(endpoint: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    ec2_backends[account][region].delete_vpc_endpoints([endpoint.id])


@_deletes("AWS::EC2::FlowLog")
def _delete_flow_log(log: Any, _: Mapping[str, Any], account: str, region: str) -> None:
    ec2_backends[account][region].delete_flow_logs([log.id])
