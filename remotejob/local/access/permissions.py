"""List the actions and resources a request needs permission for; these differ from API names.

Source: Service Authorization Reference, "Actions, resources, and condition keys for" Amazon SQS,
Amazon DynamoDB, Amazon ECS, AWS Lambda, AWS Secrets Manager, AWS Systems Manager, AWS STS. Amazon
S3 is in `s3_permissions`.

Limits: for services not listed here, and for ECS beyond services and tasks, only the action is
checked, not the resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from moto.sqs.models import sqs_backends

from remotejob.local.access import attributes, s3_permissions, s3_requests, stack_roles
from remotejob.local.access.calls import BadCall, Call
from remotejob.local.access.leading_keys import key_attribute, leading_keys
from remotejob.local.access.policies import Access

#: Action prefix by signing name, where they differ.
_ACTION_PREFIX = {"monitoring": "cloudwatch", "elasticfilesystem": "efs"}


#: Operations that moto carries out with all rights, where AWS uses the caller's or a role's.
_WITH_ALL_RIGHTS = frozenset(
    {
        *(
            ("cloudformation", operation)
            for operation in (
                "CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet", "ExecuteChangeSet",
                "CreateStackSet", "UpdateStackSet", "CreateStackInstances", "UpdateStackInstances",
                "DeleteStackInstances", "DeleteStackSet",
            )
        ),
        ("dynamodb", "ExportTableToPointInTime"),
        ("dynamodb", "ImportTable"),
        ("logs", "CreateExportTask"),
        ("logs", "PutDestination"),
        ("logs", "PutSubscriptionFilter"),
        ("s3", "PutBucketInventoryConfiguration"),
        ("s3", "PutBucketLogging"),
        ("s3", "PutBucketNotification"),
        ("s3", "PutBucketNotificationConfiguration"),
        ("s3", "PutBucketReplication"),
        ("secretsmanager", "RotateSecret"),
    }
)  # fmt: skip


def required(call: Call) -> list[Access]:
    """Every access the caller must have; an empty list means it needs no permission.

    Raises: BadCall, when a parameter could name another resource than the one that is judged.
    """
    rule = _RULES.get(call.service)
    if rule is not None:
        needed = rule(call)
    else:
        prefix = _ACTION_PREFIX.get(call.service, call.service)
        needed = [Access(action=f"{prefix}:{call.operation}", resource=None)]
    if (call.service, call.operation) in _WITH_ALL_RIGHTS:
        role = stack_roles.passed(call) if call.service == "cloudformation" else None
        if role is not None:
            needed.append(Access(action="iam:PassRole", resource=role))
        if role is None or not stack_roles.may_do_all(call.account, role):
            needed += [Access(action=action, resource="*") for action in stack_roles.ALL]
    if call.service in _PASSES_ROLES:
        needed += [
            Access(action="iam:PassRole", resource=_text(call.parameters[name], _ARN, name))
            for name in _ROLES
            if name in call.parameters
        ]
    return needed


_PASSES_ROLES = frozenset({"ecs", "lambda"})
_ROLES = ("Role", "executionRoleArn", "taskRoleArn")
_ARN = re.compile(r"arn:aws:[!-~]{1,2000}")


def _text(value: Any, pattern: re.Pattern[str], name: str) -> str:
    """A parameter that names a resource. Raises: BadCall."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BadCall(f"{name} cannot be {str(value)[:200]!r}")
    return value


def _arn_or(call: Call, value: Any, pattern: re.Pattern[str], prefix: str, name: str) -> str:
    """The ARN of a resource that is named by its name or its ARN. Raises: BadCall."""
    own = call.arn(prefix)
    if isinstance(value, str) and value.startswith("arn:"):
        if not value.startswith(own):
            raise BadCall(f"{name} {value[:200]!r} is not of this account and region: {own}...")
        return own + _text(value.removeprefix(own), pattern, name)
    return own + _text(value, pattern, name)


# --- DynamoDB ------------------------------------------------------------------------------------

_TRANSACTION_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


_TABLE = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def _dynamodb(call: Call) -> list[Access]:
    def table(name: Any) -> str:
        return _arn_or(call, name, _TABLE, "table/", "TableName")

    def access(
        action: str, resource: str, names: list[str], keys: list[str], **more: str
    ) -> Access:
        # Leave a key out if nothing is named: an empty list would satisfy any "only these".
        named = {"dynamodb:Attributes": names, "dynamodb:LeadingKeys": keys}
        context = {key: values for key, values in named.items() if values}
        return Access(action=f"dynamodb:{action}", resource=resource, context={**context, **more})

    def keys(name: Any, requests: list[Any], index: Any = None) -> list[str]:
        return leading_keys(requests, key_attribute(call.account, call.region, str(name), index))

    if call.operation in ("TransactWriteItems", "TransactGetItems"):
        # There is no permission for transactions: each part needs that of its own operation.
        within = {"dynamodb:EnclosingOperation": call.operation}
        return [
            access(
                _TRANSACTION_ACTIONS[kind],
                table(part.get("TableName")),
                attributes.named(part),
                keys(part.get("TableName"), [part]),
                **within,
            )
            for item in call.parameters.get("TransactItems", [])
            for kind, part in item.items()
            if kind in _TRANSACTION_ACTIONS
        ]
    if call.operation == "BatchWriteItem":
        return [
            access(
                call.operation,
                table(name),
                attributes.named_in_batch(requests),
                keys(name, [part for one in requests for part in one.values()]),
            )
            for name, requests in call.parameters.get("RequestItems", {}).items()
        ]
    if call.operation == "BatchGetItem":
        return [
            access(call.operation, table(name), attributes.named(request), keys(name, [request]))
            for name, request in call.parameters.get("RequestItems", {}).items()
        ]
    name = call.parameters.get("TableName")
    if name is None:
        return [access(call.operation, "*", [], [])]
    index = call.parameters.get("IndexName")
    # A query on an index needs permission on the index's ARN, not on the table's.
    resource = f"{table(name)}/index/{_text(index, _TABLE, 'IndexName')}" if index else table(name)
    named = attributes.named(call.parameters)
    return [access(call.operation, resource, named, keys(name, [call.parameters], index))]


# --- SQS -----------------------------------------------------------------------------------------


_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.fifo)?")
_QUEUE_URL = re.compile(rf"(?:https?://[^/]+/[0-9]{{12}}/)?({_QUEUE.pattern})/?")
#: Needed on the two queues of a move. Source: SQS Developer Guide, "Configure a dead-letter queue
#: redrive", permissions.
_MOVE_FROM = ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def _sqs(call: Call) -> list[Access]:
    # There are no permissions for batches: sqs:SendMessage also allows SendMessageBatch.
    action = f"sqs:{call.operation.removesuffix('Batch')}"
    if call.operation in ("CreateQueue", "GetQueueUrl"):
        name = _text(call.parameters.get("QueueName"), _QUEUE, "QueueName")
        return [Access(action=action, resource=call.arn(name))]
    if call.operation == "StartMessageMoveTask":
        source, to = (call.parameters.get(n, "") for n in ("SourceArn", "DestinationArn"))
        resource = _arn_or(call, source, _QUEUE, "", "SourceArn")
        needed = [Access(action=f"sqs:{name}", resource=resource) for name in _MOVE_FROM]
        target = _arn_or(call, to, _QUEUE, "", "DestinationArn") if to else "*"
        return [*needed, Access(action="sqs:SendMessage", resource=target)]
    url = call.parameters.get("QueueUrl")
    if url is None:
        return [Access(action=action, resource="*")]
    found = _QUEUE_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise BadCall(f"QueueUrl cannot be {str(url)[:200]!r}")
    tags = _tags_of_queue(call, found[1])
    return [Access(action=action, resource=call.arn(found[1]), context=tags)]


def _tags_of_queue(call: Call, name: str) -> dict[str, str]:
    """Source: Amazon SQS Developer Guide, "ABAC condition keys for Amazon SQS"."""
    queue = sqs_backends[call.account][call.region].queues.get(name)
    tags = {} if queue is None else queue.tags or {}
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


# --- The others ----------------------------------------------------------------------------------


_FUNCTION = re.compile(r"[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9$_-]{1,128})?")
_KEY = re.compile(r"(?s).{1,1024}")


def _lambda(call: Call) -> list[Access]:
    action = {"Invoke": "InvokeFunction", "InvokeAsync": "InvokeFunction"}.get(
        call.operation, call.operation
    )
    name = call.parameters.get("FunctionName")
    resource = None
    if name is not None:
        name = str(name).removeprefix(f"{call.account}:function:")
        resource = _arn_or(call, name, _FUNCTION, "function:", "FunctionName")
    return [Access(action=f"lambda:{action}", resource=resource), *_code(call)]


def _code(call: Call) -> list[Access]:
    """The object that a function's code comes from."""
    for place in (call.parameters, call.parameters.get("Code"), call.parameters.get("Content")):
        if isinstance(place, Mapping) and "S3Bucket" in place:
            bucket = _text(place["S3Bucket"], s3_requests.BUCKET, "S3Bucket")
            key = _text(place.get("S3Key"), _KEY, "S3Key")
            version = "Version" if place.get("S3ObjectVersion") else ""
            action = f"s3:GetObject{version}"
            return [Access(action=action, resource=f"arn:aws:s3:::{bucket}/{key}")]
    return []


_PARAMETER = re.compile(r"[A-Za-z0-9_./-]{0,1011}(?::[A-Za-z0-9_.-]{1,100})?")


_SECRET = ":parameter/aws/reference/secretsmanager/"


def _ssm(call: Call) -> list[Access]:
    names = call.parameters.get("Names") or [
        call.parameters.get("Name") or call.parameters.get("Path")
    ]
    action = f"ssm:{call.operation}"
    if names == [None]:
        return [Access(action=action, resource="*")]
    arns = []
    for name in names if isinstance(names, list) else [names]:
        # permissions know no versions or labels: "name:3", "name:stable"
        bare = name.removeprefix("/") if isinstance(name, str) else name
        arn = _arn_or(call, bare, _PARAMETER, "parameter/", "Name")
        prefix = call.arn("parameter/")
        arns.append(prefix + arn.removeprefix(prefix).partition(":")[0])
    needed = [Access(action=action, resource=re.sub(r"/$", "", arn)) for arn in arns]
    if any(_SECRET in arn for arn in arns):
        # Systems Manager passes such a request on, with the caller's rights
        needed.append(Access(action="secretsmanager:GetSecretValue", resource=None))
    return needed


_SECRET_ID = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")


def _secretsmanager(call: Call) -> list[Access]:
    """Policies name a secret with the six characters that AWS adds to its name."""
    action = f"secretsmanager:{call.operation}"
    if call.operation == "CreateSecret":
        name = _text(call.parameters.get("Name"), _SECRET_ID, "Name")
        return [Access(action=action, resource=f"{call.arn(f'secret:{name}')}-??????")]
    if call.operation == "BatchGetSecretValue":
        both = (action, "secretsmanager:GetSecretValue")
        return [Access(action=one, resource="*") for one in both]
    asked = call.parameters.get("SecretId")
    if asked is None:
        return [Access(action=action, resource="*")]
    return [Access(action=action, resource=_secret(call, asked))]


def _secret(call: Call, asked: Any) -> str:
    # here, because few systems have secrets, and moto's module takes long to import
    from moto.secretsmanager.models import secretsmanager_backends

    stored = secretsmanager_backends[call.account][call.region].secrets
    found = stored.get(asked) if isinstance(asked, str) else None
    # for a secret of another account, one of this account may stand: see `secret_values`
    if found is not None and asked == getattr(found, "description", None):
        return str(asked)
    arn = _arn_or(call, asked, _SECRET_ID, "secret:", "SecretId")
    return arn if found is None else str(found.arn)


_ECS_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ON_SERVICES = ("CreateService", "DeleteService", "DescribeServices", "UpdateService")
_ON_TASKS = ("DescribeTasks", "GetTaskProtection", "StopTask", "UpdateTaskProtection")


def _ecs(call: Call) -> list[Access]:
    """Policies name services and tasks with their cluster; ListTasks has no resource of them."""
    action, asked = f"ecs:{call.operation}", call.parameters
    cluster = str(asked.get("cluster") or "default").rpartition("/")[2]
    kind, names = "", [None]
    if call.operation in _ON_SERVICES:
        kind = "service"
        names = asked.get("services") or [asked.get("service") or asked.get("serviceName")]
    elif call.operation in _ON_TASKS:
        kind = "task"
        names = asked.get("tasks") or [asked.get("task")]
    elif call.operation != "ListTasks":
        return [Access(action=action, resource=None)]
    _text(cluster, _ECS_NAME, "cluster")
    within = {"ecs:cluster": call.arn(f"cluster/{cluster}")}
    if names == [None]:
        return [Access(action=action, resource="*", context=within)]
    # an ARN names its own cluster, which must be the one that moto looks into
    prefix = f"{kind}/{cluster}/"
    arns = [_arn_or(call, name, _ECS_NAME, prefix, kind) for name in names]
    return [Access(action=action, resource=arn, context=within) for arn in arns]


def _sts(call: Call) -> list[Access]:
    if call.operation == "GetCallerIdentity":
        return []  # always allowed, even against an explicit deny
    # moto would give more than was asked for
    if any(name.startswith("Policy") for name in call.parameters):
        raise BadCall("the embedded AWS has no session policies; ask for the role without any")
    resource = call.parameters.get("RoleArn")
    return [Access(action=f"sts:{call.operation}", resource=str(resource) if resource else "*")]


_RULES: Mapping[str, Callable[[Call], list[Access]]] = {
    "dynamodb": _dynamodb,
    "ecs": _ecs,
    "lambda": _lambda,
    "s3": s3_permissions.required,
    "secretsmanager": _secretsmanager,
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}
