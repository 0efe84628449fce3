"""CloudFormation: keep the properties that behaviour depends on, and report failures.

What moto does: it creates a bucket without its versioning and notifications, a table without its
time to live, a task definition without its roles and sizes, and no queue policy at all. A resource
that cannot be created causes an internal error, which SDKs retry.

What AWS does: CloudFormation Template Reference, "AWS::S3::Bucket", "AWS::DynamoDB::Table",
"AWS::ECS::TaskDefinition", "AWS::SQS::QueuePolicy", "AWS::SSM::Parameter". Of the CDK's custom
resources, we apply bucket notifications directly, and accept those that only clean up or restrict
without any effect.

Limits: bucket policies, lifecycle, alarms and scaling have no effect.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable
from typing import Any, cast

from moto.awslambda.models import EventSourceMapping, lambda_backends
from moto.cloudformation.custom_model import CustomModel
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack, cloudformation_backends
from moto.core.common_models import CloudFormationModel
from moto.core.utils import pascal_to_camelcase, remap_nested_keys
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table
from moto.ecs.models import Service, TaskDefinition, ecs_backends
from moto.iam.models import Role
from moto.s3.models import FakeBucket, s3_backends
from moto.sqs.models import sqs_backends
from moto.ssm.models import Parameter

from remotejob.local import custom_resources, event_sources, functions
from remotejob.local.control import CONTROL_PREFIX
from remotejob.local.gaps import ecs, stack_references, stack_updates
from remotejob.local.gaps.stack_resources import DELETIONS, UPDATES, Change, attach_policies

_LOG = logging.getLogger(__name__)
#: Custom resources of the CDK whose absence makes no visible difference here.
_WITHOUT_EFFECT = ("Custom::S3AutoDeleteObjects", "Custom::VpcRestrictDefaultSG")


def close_gap() -> None:
    """Complete the resources moto creates, and turn failures into stack events."""
    _complete(FakeBucket, _complete_bucket)
    _complete(Table, _complete_table)
    _complete(Role, lambda role, properties, account, _: attach_policies(role, properties, account))
    _replace(TaskDefinition, _create_task_definition)
    _replace(Service, _create_service)
    _take_tags_by_name(Parameter)
    _handle_custom_resources()
    _name_parameters()
    _report_failures()
    UPDATES.update(
        {
            "AWS::ECS::Service": _update_service,
            "AWS::S3::Bucket": _update_bucket,
            "AWS::DynamoDB::Table": _update_table,
            "AWS::SQS::QueuePolicy": Change.made_anew,
            "Custom::S3BucketNotifications": _update_notifications,
        }
    )
    DELETIONS["Custom::S3AutoDeleteObjects"] = _empty_bucket
    stack_references.close_gap()
    stack_updates.close_gap()


class QueuePolicy(CloudFormationModel):
    """AWS::SQS::QueuePolicy: who may send to the queues it names."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> QueuePolicy:
        properties = cloudformation_json["Properties"]
        backend = sqs_backends[account_id][region_name]
        for url in properties["Queues"]:
            queue = backend.get_queue(str(url).rpartition("/")[2])
            queue.policy = json.dumps(properties["PolicyDocument"])
        return cls(resource_name)


def _complete(model: type[Any], complete: Callable[[Any, Any, str, str], None]) -> None:
    """Call `complete(resource, properties, account, region)` after moto created a resource."""
    stock = model.create_from_cloudformation_json.__func__

    def create_from_cloudformation_json(
        cls: type[Any], /, name: str, document: Any, account: str, region: str, **kw: Any
    ) -> Any:
        resource = stock(cls, name, document, account, region, **kw)
        complete(resource, document.get("Properties", {}), account, region)
        return resource

    model.create_from_cloudformation_json = classmethod(create_from_cloudformation_json)


def _take_tags_by_name(model: type[Any]) -> None:
    """Give moto the tags of a resource as it takes them: a list, where CloudFormation has a map."""
    stock = model.create_from_cloudformation_json.__func__

    def create_from_cloudformation_json(
        cls: type[Any], /, name: str, document: Any, account: str, region: str, **kw: Any
    ) -> Any:
        properties = dict(document["Properties"])
        tags = properties.get("Tags")
        if isinstance(tags, dict):
            properties["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return stock(cls, name, {**document, "Properties": properties}, account, region, **kw)

    model.create_from_cloudformation_json = classmethod(create_from_cloudformation_json)


def _replace(model: type[Any], create: Callable[[str, Any, str, str], Any]) -> None:
    """Let `create(name, properties, account, region)` create a resource instead of moto."""

    def create_from_cloudformation_json(
        _: type[Any], /, name: str, document: Any, account: str, region: str, **__: Any
    ) -> Any:
        return create(name, document["Properties"], account, region)

    model.create_from_cloudformation_json = classmethod(create_from_cloudformation_json)


def _complete_bucket(bucket: FakeBucket, properties: Any, account: str, _region: str) -> None:
    status = properties.get("VersioningConfiguration", {}).get("Status")
    if status:
        s3_backends[account]["aws"].put_bucket_versioning(bucket.name, status)
    notifications = properties.get("NotificationConfiguration")
    if notifications:
        configuration: dict[str, Any] = {}
        if "EventBridgeConfiguration" in notifications:
            configuration["EventBridgeConfiguration"] = {}
        for plural, (name, target, key) in {
            "QueueConfigurations": ("QueueConfiguration", "Queue", "Queue"),
            "LambdaConfigurations": ("CloudFunctionConfiguration", "CloudFunction", "Function"),
        }.items():
            configuration[name] = [
                {target: entry[key], "Event": [entry["Event"]], "Filter": _filter(entry)}
                for entry in notifications.get(plural, [])
            ]
        bucket.set_notification_configuration(configuration)


def _filter(entry: Any) -> dict[str, Any]:
    rules = entry.get("Filter", {}).get("S3Key", {}).get("Rules")
    if not rules:
        return {}
    return {
        "S3Key": {
            "FilterRule": [{"Name": r["Name"].lower(), "Value": r["Value"]} for r in rules],
        }
    }


def _complete_table(table: Table, properties: Any, account: str, region: str) -> None:
    backend = dynamodb_backends[account][region]
    expiry = properties.get("TimeToLiveSpecification")
    if expiry:
        enabled = str(expiry.get("Enabled", True)).lower() == "true"
        backend.update_time_to_live(table.name, {**expiry, "Enabled": enabled})
    recovery = properties.get("PointInTimeRecoverySpecification")
    if recovery:
        enabled = str(recovery.get("PointInTimeRecoveryEnabled")).lower() == "true"
        backend.update_continuous_backups(table.name, {"PointInTimeRecoveryEnabled": enabled})


def _create_task_definition(name: str, properties: Any, account: str, region: str) -> Any:
    # moto also changes the case of label and option names, which are the user's own.
    verbatim = ("DockerLabels", "Options")
    containers = []
    for container in properties.get("ContainerDefinitions", []):
        kept = {pascal_to_camelcase(k): container[k] for k in verbatim if k in container}
        rest = {k: v for k, v in container.items() if k not in verbatim}
        containers.append({**remap_nested_keys(rest, pascal_to_camelcase), **kept})
    return ecs_backends[account][region].register_task_definition(
        family=properties.get("Family", name),
        container_definitions=containers,
        volumes=remap_nested_keys(properties.get("Volumes", []), pascal_to_camelcase),
        network_mode=properties.get("NetworkMode"),
        requires_compatibilities=properties.get("RequiresCompatibilities"),
        cpu=properties.get("Cpu"),
        memory=properties.get("Memory"),
        task_role_arn=properties.get("TaskRoleArn"),
        execution_role_arn=properties.get("ExecutionRoleArn"),
        runtime_platform=remap_nested_keys(
            properties.get("RuntimePlatform", {}), pascal_to_camelcase
        ),
    )


def _create_service(name: str, properties: Any, account: str, region: str) -> Any:
    def text(value: Any) -> str:
        return str(getattr(value, "arn", value))

    strategies = properties.get("CapacityProviderStrategy") or []
    fargate = any("FARGATE" in str(s.get("CapacityProvider")) for s in strategies)
    service = ecs_backends[account][region].create_service(
        text(properties.get("Cluster", "default")),
        properties.get("ServiceName", name),
        # without a count, a new service starts one task
        int(properties.get("DesiredCount", 1)),
        task_definition_str=text(properties["TaskDefinition"]),
        launch_type="FARGATE" if fargate else properties.get("LaunchType"),
    )
    ecs.created(
        service,
        providers=remap_nested_keys(strategies, pascal_to_camelcase),
        deployment=remap_nested_keys(
            properties.get("DeploymentConfiguration", {}), pascal_to_camelcase
        ),
    )
    return service


def _update_service(change: Change) -> Any:
    if change.has_other("Cluster", "ServiceName", "LaunchType", "SchedulingStrategy"):
        return change.made_anew()
    service, properties = change.existing, change.properties
    count = properties.get("DesiredCount")
    return ecs_backends[change.account][change.region].update_service(
        {
            "cluster": service.cluster_name,
            "service": service.name,
            "task_definition": str(properties["TaskDefinition"]),
            # a template that says none leaves what scaling has set
            "desired_count": int(count) if change.has_other("DesiredCount") and count else None,
            "capacity_provider_strategy": remap_nested_keys(
                properties.get("CapacityProviderStrategy") or [], pascal_to_camelcase
            ),
            "deployment_configuration": remap_nested_keys(
                properties.get("DeploymentConfiguration", {}), pascal_to_camelcase
            ),
        }
    )


def _update_bucket(change: Change) -> Any:
    if change.has_other("BucketName"):
        return change.made_anew()
    _complete_bucket(change.existing, change.properties, change.account, change.region)
    return change.existing


def _update_table(change: Change) -> Any:
    if change.has_other("TableName", "KeySchema"):
        return change.made_anew()
    protected = str(change.properties.get("DeletionProtectionEnabled", False)).lower() == "true"
    change.existing.deletion_protection_enabled = protected
    _complete_table(change.existing, change.properties, change.account, change.region)
    return change.existing


def _update_notifications(change: Change) -> Any:
    _notify_bucket(change.properties, change.account)
    return change.existing


def _empty_bucket(_: Any, properties: Any, account: str, __: str) -> None:
    """What the function of Custom::S3AutoDeleteObjects does when its bucket is to be deleted."""
    backend = s3_backends[account]["aws"]
    bucket = backend.buckets.get(properties.get("BucketName"))
    if bucket is not None:
        bucket.keys.clear()


def _notify_bucket(properties: Any, account: str) -> None:
    bucket = s3_backends[account]["aws"].get_bucket(properties["BucketName"])
    bucket.set_notification_configuration(
        _from_api(properties.get("NotificationConfiguration", {}))
    )


def _name_parameters() -> None:
    """Give a parameter without a name one."""
    stock = Parameter.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_from_cloudformation_json(
        cls: type[Parameter], /, name: str, document: Any, *args: Any, **kw: Any
    ) -> Any:
        document["Properties"].setdefault("Name", f"CFN-{name}")
        return stock(cls, name, document, *args, **kw)

    Parameter.create_from_cloudformation_json = classmethod(  # type: ignore[assignment,method-assign]
        create_from_cloudformation_json
    )


def _handle_custom_resources() -> None:
    def create_from_cloudformation_json(
        _: type[CustomModel], /, name: str, document: Any, account: str, region: str, **kw: Any
    ) -> CustomModel:
        kind, properties = kw["ResourceType"], document["Properties"]
        request_id = str(uuid.uuid4())
        resource = CustomModel(  # type: ignore[abstract]  # moto does this too
            region, request_id, kw["LogicalId"], name
        )
        if kind == "Custom::S3BucketNotifications":
            _notify_bucket(properties, account)
        elif kind not in _WITHOUT_EFFECT:
            _ask_function(resource, kind, properties, account, kw["StackId"])
            return resource
        resource.set_data({})
        return resource

    CustomModel.create_from_cloudformation_json = classmethod(  # type: ignore[assignment,method-assign]
        create_from_cloudformation_json
    )


def _ask_function(
    resource: CustomModel, kind: str, properties: Any, account: str, stack_id: str
) -> None:
    """Let the resource's function create it; it answers later."""
    region = resource.region_name
    stack: Stack = cloudformation_backends[account][region].get_stack(stack_id)
    function = lambda_backends[account][region].get_function(properties["ServiceToken"])
    stack.add_custom_resource(resource)

    def succeeded(data: dict[str, Any]) -> None:
        resource.set_data(data)
        stack.verify_readiness()

    def failed(reason: str) -> None:
        _failed(stack, f"{resource.logical_id}: {reason}")

    identity = {
        "StackId": stack_id,
        "RequestId": resource.request_id,
        "LogicalResourceId": resource.logical_id,
    }
    path = custom_resources.current().expect(
        custom_resources.Expected(identity=identity, succeeded=succeeded, failed=failed)
    )
    functions.invoke_later(
        function.function_arn,
        {
            **identity,
            "RequestType": "Create",
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": f"{functions.current().endpoint_url}{CONTROL_PREFIX}{path}",
            "ResourceType": kind,
            "ResourceProperties": properties,
        },
    )


def _from_api(configuration: Any) -> dict[str, Any]:
    """Convert a notification configuration from the S3 API's format to moto's."""
    kept: dict[str, Any] = {}
    if "EventBridgeConfiguration" in configuration:
        kept["EventBridgeConfiguration"] = {}
    for plural, (name, target, key) in {
        "QueueConfigurations": ("QueueConfiguration", "Queue", "QueueArn"),
        "LambdaFunctionConfigurations": (
            "CloudFunctionConfiguration",
            "CloudFunction",
            "LambdaFunctionArn",
        ),
    }.items():
        kept[name] = []
        for entry in configuration.get(plural, []):
            rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
            renamed = {"Filter": {"S3Key": {"Rules": rules}}}
            kept[name].append(
                {target: entry[key], "Event": entry["Events"], "Filter": _filter(renamed)}
            )
    return kept


def _report_failures() -> None:
    stock = CloudFormationBackend.create_stack
    stock_resources = Stack.create_resources

    def create_resources(self: Stack) -> None:
        try:
            stock_resources(self)
        except Exception as error:
            _LOG.exception("stack %s", self.name)
            raise _failed(self, f"{type(error).__name__}: {error}") from error

    def create_stack(self: CloudFormationBackend, *args: Any, **kw: Any) -> Stack:
        stack = stock(self, *args, **kw)
        found = _problems(self, stack)
        if found:
            _failed(stack, "; ".join(found))
        return stack

    Stack.create_resources = create_resources  # type: ignore[method-assign]
    CloudFormationBackend.create_stack = create_stack  # type: ignore[method-assign]


def _failed(stack: Stack, reason: str) -> ValidationError:
    stack.status = "CREATE_FAILED"
    stack._add_stack_event("CREATE_FAILED", resource_status_reason=reason)
    return ValidationError(message=f"stack {stack.name}: {reason}")


def _problems(backend: CloudFormationBackend, stack: Stack) -> list[str]:
    """Problems for which AWS would refuse the stack, but moto does not."""
    functions = lambda_backends[backend.account_id][backend.region_name]
    return [
        problem
        for resource in cast("Iterable[Any]", stack.stack_resources)
        if isinstance(resource, EventSourceMapping) and ":sqs:" in resource.event_source_arn
        for problem in event_sources.problems(functions, resource)
    ]
