"""Hand-made requests for each row of the tables in docs/permissions.md, "What IAM enforces".

A role is somebody with exactly its policies. A request that is allowed changes nothing: it has a
condition that never holds, a receipt handle of no message, or a key of no object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from remotejob.domain.ids import new_job_id
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Field, Part, Partition, stack_name

GROUPS: Final = ("admin", "manager", "creator", "worker")
ROLES: Final = (*GROUPS, "workers of ours", "uploads", "scheduler")
"""The columns of the tables."""
POWERLESS: Final = ("agent of ours",)
"""They may do nothing of what is here."""

JOB: Final = new_job_id(1_790_000_000_000, lambda n: bytes(n))
DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "403",
        # an operation that the embedded AWS lets nobody make
        "UnknownOperationException",
    }
)

_NEW: Final = (Field.STATE, Field.TASK, Field.QUEUE, Field.CREATED, Field.UPDATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of item, or of change: its key, and the attributes that are written."""

    partition: str
    name: str
    writes: tuple[Field, ...]
    change: bool = False
    """Whether it is only a change, so that nothing but updates is tried."""

    @property
    def key(self) -> dict[str, Any]:
        return {"pk": {"S": self.partition}, "sk": {"S": self.name}}

    @property
    def item(self) -> dict[str, Any]:
        return {**self.key, **{one.value: {"S": "1"} for one in self.writes}}


def _record(*writes: Field, change: bool = False) -> Kind:
    return Kind(partition="20261122#0", name=JOB, writes=writes, change=change)


def _of(partition: str, name: str, *writes: Field, change: bool = False) -> Kind:
    return Kind(partition=partition, name=name, writes=writes, change=change)


ITEMS: Final[Mapping[str, Kind]] = {
    "new record": _record(*_NEW),
    "record of a repeated job": _record(*_NEW, Field.ORIGIN),
    "record with a result": _record(*_NEW, Field.RUN, Field.RESULT),
    "tombstone": _record(Field.REMOVED, Field.EXPIRES, Field.TOKEN, Field.QUEUE),
    "change of a record: it has dependents": _record(Field.DEPENDENTS, change=True),
    "change of a record: a command": _record(Field.STATE, Field.DUE, Field.UPDATED, change=True),
    "change of a record: by its run": _record(Field.STATE, Field.LEASE, Field.UPDATED, change=True),
    "change of a record: released": _record(Field.BLOCKED, Field.DUE, Field.ATTENTION, change=True),
    "change of a record: a lost lease": _record(
        Field.STATE, Field.RUN, Field.LOST_RUN, change=True
    ),
    "edge": _of(JOB, f"edge#{JOB}", Field.JOB, Field.TOKEN),
    "spent edge": _of(JOB, f"edge#{JOB}", Field.JOB, Field.TOKEN, Field.SPENT, Field.EXPIRES),
    "log or traceback": _of(JOB, "log#1", Field.CONTENT, Field.EXPIRES),
    "lock of a resource": _of(f"{Partition.RESOURCE}r", "lock#000", Field.JOB, Field.RUN),
    "waiter for a resource": _of(f"{Partition.RESOURCE}r", f"waiter#{JOB}", Field.JOB),
    "lock of a queue's tenant": _of(f"{Partition.TENANT}ours#t", "lock#000", Field.JOB, Field.RUN),
    "lock of another queue's tenant": _of(
        f"{Partition.TENANT}theirs#t", "lock#000", Field.JOB, Field.RUN
    ),
    "idempotency key": _of(
        f"{Partition.KEY}ours#0", "key", Field.JOB, Field.EXPIRES, Field.PAYLOAD
    ),
    "head of a queue's repeats": _of(f"{Partition.REPEATS}ours#work", "ours#work", Field.HEAD),
    "head of another queue's repeats": _of(
        f"{Partition.REPEATS}theirs#review", "theirs#review", Field.HEAD
    ),
    "batch, or a page of it": _of(
        f"{Partition.BATCH}b-{JOB}", "batch", Field.CONTENT, Field.EXPIRES
    ),
    "change of a batch: its size": _of(
        f"{Partition.BATCH}b-{JOB}", "batch", Field.TOTAL, change=True
    ),
    "counter of a batch": _of(
        f"{Partition.BATCH}b-{JOB}", "batch#count#0", Field.COMPLETED, Field.FAILED, Field.CANCELLED
    ),
    "follower of a batch": _of(
        f"{Partition.BATCH}b-{JOB}", "batch#then#00000001", Field.JOB, Field.EXPIRES
    ),
    "sign of life": _of(f"{Partition.WORKERS}ours", "sign#w", Field.CONTENT, Field.EXPIRES),
    "sign of life of another queue": _of(
        f"{Partition.WORKERS}theirs", "sign#w", Field.CONTENT, Field.EXPIRES
    ),
    "spent by a queue": _of(
        f"{Partition.SPENT}ours", "2026-01-01", Field.RUNS, Field.MICRODOLLARS, Field.EXPIRES
    ),
    "spent by another queue": _of(
        f"{Partition.SPENT}theirs", "2026-01-01", Field.RUNS, Field.MICRODOLLARS, Field.EXPIRES
    ),
    "rate of a route": _of(f"{Partition.RATE}ours", "0", Field.PLACE, Field.EXPIRES),
    "sweep's progress": _of(Partition.SWEEP, "progress", Field.CONTENT, Field.EXPIRES),
    "what was decided about workers": _of(
        f"{Partition.SCALING}ours", "state", Field.CONTENT, Field.EXPIRES
    ),
    "switch of a queue": _of(f"{Partition.SWITCH}ours", "switch", Field.CONTENT, Field.TOKEN),
    "switch of another queue": _of(
        f"{Partition.SWITCH}theirs", "switch", Field.CONTENT, Field.TOKEN
    ),
    "anything else": _of("other#1", "other", Field.CONTENT),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Where the deployed system's parts are."""

    table: str
    queues: Mapping[str, Mapping[str, str]]
    uploads: str
    unread_uploads: str
    elsewhere: str
    """A lane of another system."""
    input: str
    output: str
    clusters: Mapping[str, str]
    services: Mapping[str, str]
    scheduler: str
    """The name of its function."""


Request = Callable[["Role", Names], object]


@dataclass(frozen=True, kw_only=True)
class Role:
    """Somebody with the policies of one role or group."""

    name: str
    policies: list[Any]
    session: Any
    """A session of boto3."""
    endpoint: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.session.client(
                service,
                endpoint_url=self.endpoint,
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[service]

    def may(self, request: Request, names: Names) -> bool:
        """Whether AWS lets the request through, whatever it then says about it."""
        try:
            request(self, names)
        except ClientError as refusal:
            return refusal.response["Error"]["Code"] not in DENIED
        return True


# --- DynamoDB ------------------------------------------------------------------------------------

_NEVER: Final = {"ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(pk)"}


def _update(kind: Kind) -> dict[str, Any]:
    sets = ", ".join(f"{one.value} = :{one.value}" for one in kind.writes)
    values = {f":{one.value}": {"S": "1"} for one in kind.writes}
    return {"UpdateExpression": f"SET {sets}", "ExpressionAttributeValues": values}


def _transaction(kind: str, part: Mapping[str, Any]) -> Request:
    return lambda role, names: role.client("dynamodb").transact_write_items(
        TransactItems=[{kind: {"TableName": names.table, **part, **_NEVER}}]
    )


def _single(call: str, **parameters: Any) -> Request:
    return lambda role, names: getattr(role.client("dynamodb"), call)(
        TableName=names.table, **parameters
    )


def _batch(call: str, requests: Any) -> Request:
    return lambda role, names: getattr(role.client("dynamodb"), call)(
        RequestItems={names.table: requests}
    )


ITEM_ACTIONS: Final = {
    "g": "dynamodb:GetItem",
    "b": "dynamodb:BatchGetItem",
    "q": "dynamodb:Query",
    "c": "dynamodb:ConditionCheckItem",
    "p": "dynamodb:PutItem",
    "t": "dynamodb:PutItem",
    "u": "dynamodb:UpdateItem",
    "d": "dynamodb:DeleteItem",
}


def item_calls(kind: Kind) -> dict[str, list[Request]]:
    """The requests for each letter of the table; `t` is a put within a transaction."""
    key, put = kind.key, kind.item
    update = {"Key": key, **_update(kind)}
    updates = [_single("update_item", **update, **_NEVER), _transaction("Update", update)]
    if kind.change:
        return {"u": updates}
    return {
        "g": [_single("get_item", Key=key)],
        "b": [_batch("batch_get_item", {"Keys": [key]})],
        "q": [
            _single(
                "query",
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": key["pk"]},
            )
        ],
        "c": [_transaction("ConditionCheck", {"Key": key})],
        "p": [_single("put_item", Item=put, **_NEVER)],
        "t": [_transaction("Put", {"Item": put})],
        "u": updates,
        "d": [_single("delete_item", Key=key, **_NEVER), _transaction("Delete", {"Key": key})],
    }


def batch_writes(kind: Kind) -> list[Request]:
    """Writes that know no conditions: nobody may make them."""
    return [
        _batch("batch_write_item", [{"PutRequest": {"Item": kind.item}}]),
        _batch("batch_write_item", [{"DeleteRequest": {"Key": kind.key}}]),
    ]


# --- SQS -----------------------------------------------------------------------------------------

QUEUES: Final[Mapping[str, Callable[[Names], str]]] = {
    "lane": lambda names: names.queues["ours"]["normal"],
    "lane of another queue": lambda names: names.queues["theirs"]["high"],
    "status queue": lambda names: names.queues["ours"]["completed"],
    "status queue of another queue": lambda names: names.queues["theirs"]["failed"],
    "dead-letter queue": lambda names: names.queues["ours"]["dead_letter"],
    "dead-letter queue of another queue": lambda names: names.queues["theirs"]["dead_letter"],
    "dead-letter queue of a status queue": lambda names: names.queues["ours"][
        "completed_dead_letter"
    ],
    "uploads queue": lambda names: names.uploads,
    "dead-letter queue of uploads": lambda names: names.unread_uploads,
}


QUEUE_ACTIONS: Final = {
    "s": "sqs:SendMessage",
    "r": "sqs:ReceiveMessage",
    "d": "sqs:DeleteMessage",
    "v": "sqs:ChangeMessageVisibility",
    "a": "sqs:GetQueueAttributes",
}


def queue_calls(url: Callable[[Names], str]) -> dict[str, list[Request]]:
    """The requests for each letter of the table."""

    def call(name: str, **parameters: Any) -> Request:
        return lambda role, names: getattr(role.client("sqs"), name)(
            QueueUrl=url(names), **parameters
        )

    handle = {"ReceiptHandle": "of no message"}
    return {
        "s": [call("send_message", MessageBody="by hand")],
        "r": [call("receive_message", WaitTimeSeconds=0, VisibilityTimeout=0)],
        "d": [call("delete_message", **handle)],
        "v": [call("change_message_visibility", VisibilityTimeout=0, **handle)],
        "a": [call("get_queue_attributes", AttributeNames=["ApproximateNumberOfMessages"])],
    }


# --- S3 ------------------------------------------------------------------------------------------

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "input of a route": ("input", "photos/of-nobody"),
    "input of another queue's route": ("input", "scans/of-nobody"),
    "input that another queue's settings name": ("input", "archive/of-nobody"),
    "input that nothing names": ("input", "elsewhere/of-nobody"),
    "submitted input": ("input", f"jobs/ours/{JOB}/of-nobody"),
    "submitted input of another queue": ("input", f"jobs/theirs/{JOB}/of-nobody"),
    "submitted input of an earlier version": ("input", f"jobs/{JOB}/of-nobody"),
    "stored file": ("input", "jobs/stored/of-nobody"),
    "output": ("output", f"ours/{JOB}/0/of-nobody"),
    "output of another queue": ("output", f"theirs/{JOB}/0/of-nobody"),
}


FILE_ACTIONS: Final = {
    "g": "s3:GetObject",
    "v": "s3:GetObjectVersion",
    "p": "s3:PutObject",
    "a": "s3:AbortMultipartUpload",
    "d": "s3:DeleteObject",
    "l": "s3:ListBucket",
}


def file_calls(area: str, key: str) -> dict[str, list[Request]]:
    """The requests for each letter of the table. The file is there, so that S3 says who may not."""

    def call(name: str, **parameters: Any) -> Request:
        return lambda role, names: getattr(role.client("s3"), name)(
            Bucket=getattr(names, area), **parameters
        )

    return {
        "g": [call("get_object", Key=key), call("head_object", Key=key)],
        "v": [call("get_object", Key=key, VersionId="of-nobody")],
        # it needs what PutObject needs, and makes no object
        "p": [call("create_multipart_upload", Key=key)],
        "a": [call("abort_multipart_upload", Key=key, UploadId="of-nobody")],
        "d": [call("delete_object", Key=f"{key}-nothing")],
        "l": [call("list_objects_v2", Prefix=key, MaxKeys=1)],
    }


# --- the rest ------------------------------------------------------------------------------------


def _other(service: str, call: str, **parameters: Any) -> Request:
    return lambda role, names: getattr(role.client(service), call)(**parameters)


def _protect(queue: str) -> Request:
    return lambda role, names: role.client("ecs").update_task_protection(
        cluster=names.clusters[queue], tasks=["0" * 32], protectionEnabled=True
    )


def _see_service(queue: str) -> Request:
    return lambda role, names: role.client("ecs").describe_services(
        cluster=names.clusters[queue], services=[names.services[queue]]
    )


def _scale(queue: str) -> Request:
    return lambda role, names: role.client("ecs").update_service(
        cluster=names.clusters[queue], service=names.services[queue]
    )


def _see_tasks(role: Role, names: Names) -> object:
    return role.client("ecs").list_tasks(cluster=names.clusters["ours"])


def _see_task(role: Role, names: Names) -> object:
    return role.client("ecs").describe_tasks(cluster=names.clusters["ours"], tasks=["0" * 32])


def _wake(role: Role, names: Names) -> object:
    return role.client("lambda").invoke(
        FunctionName=names.scheduler,
        InvocationType="Event",
        Payload=b'{"do": "scale", "queues": []}',
    )


def _marks(role: Role, names: Names) -> object:
    return role.client("dynamodb").query(
        TableName=names.table,
        IndexName="attention",
        KeyConditionExpression="a_kind = :kind",
        ExpressionAttributeValues={":kind": {"S": "waiting#0"}},
    )


OTHER_ACTIONS: Final = {
    "ssm:GetParameter",
    "ssm:GetParameters",
    "ssm:GetParametersByPath",
    "ecs:UpdateTaskProtection",
    "ecs:DescribeServices",
    "ecs:UpdateService",
    "ecs:ListTasks",
    "ecs:DescribeTasks",
    "lambda:InvokeFunction",
}

OTHERS: Final[Mapping[str, Request]] = {
    "find the system": _other("ssm", "get_parameter", Name="/remotejob/walls"),
    "find its queues": _other("ssm", "get_parameters_by_path", Path="/remotejob/walls/queues"),
    "find its uploads": _other("ssm", "get_parameter", Name="/remotejob/walls/uploads"),
    "read the attention index": _marks,
    "protect a task of the queue": _protect("ours"),
    "wake the scheduler": _wake,
    "find a queue's workers": _other(
        "ssm", "get_parameters", Names=["/remotejob/walls/workers/ours"]
    ),
    "see a queue's service": _see_service("ours"),
    "scale a queue": _scale("ours"),
    "list the tasks of a queue": _see_tasks,
    "see a task of a queue": _see_task,
}

NOBODY: Final[Mapping[str, Request]] = {
    "find another system": _other("ssm", "get_parameter", Name="/remotejob/another"),
    "find another system's queues": _other(
        "ssm", "get_parameters_by_path", Path="/remotejob/another/queues"
    ),
    "find all systems": _other("ssm", "get_parameters_by_path", Path="/remotejob"),
    "send to another system": lambda role, names: role.client("sqs").send_message(
        QueueUrl=names.elsewhere, MessageBody="{}"
    ),
    "receive from another system": lambda role, names: role.client("sqs").receive_message(
        QueueUrl=names.elsewhere, WaitTimeSeconds=0
    ),
    "give a queue to another system": lambda role, names: role.client("sqs").tag_queue(
        QueueUrl=names.elsewhere, Tags={"remotejob": "walls"}
    ),
    "protect another queue's task": _protect("theirs"),
    "delete a version of a file": lambda role, names: role.client("s3").delete_object(
        Bucket=names.input, Key="jobs/stored/of-nobody", VersionId="of-nobody"
    ),
    "change a queue": lambda role, names: role.client("sqs").set_queue_attributes(
        QueueUrl=names.queues["ours"]["normal"], Attributes={"DelaySeconds": "0"}
    ),
    "scan the table": _single("scan"),
    "describe the table": _single("describe_table"),
    "delete the table": _single("delete_table"),
    "invoke the scheduler": _other("lambda", "invoke", FunctionName="of-nobody"),
    "change the system's description": _other(
        "ssm", "put_parameter", Name="/remotejob/walls", Value="{}", Overwrite=True
    ),
    "assume another role": _other(
        "sts",
        "assume_role",
        RoleArn="arn:aws:iam::123456789012:role/of-nobody",
        RoleSessionName="nobody",
    ),
    "list roles": _other("iam", "list_roles"),
    "decrypt": _other("kms", "decrypt", CiphertextBlob=b"0"),
    "list all buckets": _other("s3", "list_buckets"),
    "list all queues": _other("sqs", "list_queues"),
    "stop a task": _other("ecs", "stop_task", cluster="of-nobody", task="0" * 32),
    "read a log": _other(
        "logs", "get_log_events", logGroupName="of-nobody", logStreamName="of-nobody"
    ),
}


# --- who is there --------------------------------------------------------------------------------


def roles_of(aws: EmbeddedAws) -> dict[str, Role]:
    """Each role and group, as a user with a copy of its policies."""
    iam = aws.client("iam")
    found = {}
    for name, policies in policies_of(aws).items():
        user = name.replace(" ", "-")
        iam.create_user(UserName=user)
        for number, policy in enumerate(policies):
            iam.put_user_policy(
                UserName=user, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy)
            )
        key = iam.create_access_key(UserName=user)["AccessKey"]
        session = boto3.Session(
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region_name=aws.region,
        )
        found[name] = Role(name=name, policies=policies, session=session, endpoint=aws.endpoint_url)
    return found


def role_names(aws: EmbeddedAws) -> dict[str, str]:
    """The physical names of the deployed roles."""
    return {
        "workers of ours": _role(aws, "Queues/ours/Role/Resource"),
        "workers of theirs": _role(aws, "Queues/theirs/Role/Resource"),
        "agent of ours": _role(aws, "Queues/ours/AgentRole/Resource"),
        "uploads": _role(aws, "Uploads/OnUpload/Role/Resource"),
        "scheduler": _role(aws, "Scheduler/Function/Role/Resource"),
    }


def policies_of(aws: EmbeddedAws) -> dict[str, list[Any]]:
    iam, outputs = aws.client("iam"), aws.deployment.outputs[stack_name("walls", Part.STORAGE)]
    found: dict[str, list[Any]] = {}
    for group in ("admin", "manager", "creator", "worker"):
        arn = outputs[f"{group.title()}Policy"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        policy = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        found[group] = [policy["Document"]]
    for name, role in role_names(aws).items():
        inline = iam.list_role_policies(RoleName=role)["PolicyNames"]
        assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        found[name] = [
            iam.get_role_policy(RoleName=role, PolicyName=one)["PolicyDocument"] for one in inline
        ]
    return found


def actions_in(policies: list[Any]) -> set[str]:
    """All actions that policies allow."""
    statements = [one for policy in policies for one in policy["Statement"]]
    listed = [one["Action"] for one in statements]
    return {a for one in listed for a in ([one] if isinstance(one, str) else one)}


def names_of(aws: EmbeddedAws) -> Names:
    ssm = aws.client("ssm")
    described = json.loads(ssm.get_parameter(Name="/remotejob/walls")["Parameter"]["Value"])
    queues = ssm.get_parameters_by_path(Path="/remotejob/walls/queues")["Parameters"]
    tags = {"remotejob": "another", "remotejob:queue": "ours", "remotejob:use": "lane"}
    elsewhere = aws.client("sqs").create_queue(QueueName="of-another-system", tags=tags)
    clusters = {
        r.path.split("/")[2]: r.physical_id for r in aws.deployment.all("AWS::ECS::Cluster")
    }
    uploads = aws.deployment.one("AWS::SQS::Queue", "Uploads/Queue").physical_id
    unread = aws.deployment.one("AWS::SQS::Queue", "Uploads/DeadLetter").physical_id
    return Names(
        table=described["table"],
        queues={one["Name"].rpartition("/")[2]: json.loads(one["Value"]) for one in queues},
        elsewhere=elsewhere["QueueUrl"],
        uploads=uploads,
        unread_uploads=unread,
        input=described["input_bucket"],
        output=described["output_bucket"],
        clusters=clusters,
        services={
            r.path.split("/")[2]: r.physical_id for r in aws.deployment.all("AWS::ECS::Service")
        },
        scheduler=aws.deployment.one("AWS::Lambda::Function", "Scheduler").physical_id,
    )


def _role(aws: EmbeddedAws, path: str) -> str:
    (found,) = (r for r in aws.deployment.all("AWS::IAM::Role") if r.path.endswith(path))
    return found.physical_id
