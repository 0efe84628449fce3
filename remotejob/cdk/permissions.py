"""The AWS calls that functions and workers may make, and on which resources, written by hand.

Keep the list in step with the code: delete a call that the code no longer makes. A new call fails
in the embedded AWS, which enforces these policies, until you add it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from aws_cdk import Aws
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from remotejob.cdk.checks import acknowledge_arn
from remotejob.cdk.commands import FRESH, NOTE, REPEAT, SIGN
from remotejob.cdk.grants import any_of, condition
from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.names import (
    ATTENTION_INDEX,
    INPUT_PREFIX_SUBMITTED,
    STORED_PREFIX,
    Field,
    Partition,
    Tag,
    Use,
    queues_path,
    uploads_parameter,
)
from remotejob.settings import QueueSettings, Route

_CLOSED_BY: Final = {"(": ")", "[": "]"}


def upload_calls(
    *, system: str, uploads: sqs.IQueue, table: dynamodb.ITable
) -> list[iam.PolicyStatement]:
    """The upload function: new records, and their messages.

    Lambda itself makes the first four calls, on the function's behalf.
    """
    return [
        allow(
            "sqs",
            ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"],
            [uploads.queue_arn],
        ),
        _items(table, "PutItem", on=any_of(Partition.RECORD), only=FRESH),
        _messages(system, ["SendMessage"], Use.LANE),
        # It sets aside, with the reason, what it cannot make a job of.
        _messages(system, ["SendMessage"], Use.UNREAD_UPLOADS),
        allow("ssm", ["GetParameter"], [parameter_arn(uploads_parameter(system))]),
        find_queues(system),
    ]


def scheduler_calls(
    *,
    system: str,
    table: dynamodb.ITable,
    input: s3.IBucket,  # noqa: A002
    output: s3.IBucket,
) -> list[iam.PolicyStatement]:
    """The scheduler: reads and sends due jobs, carries out owed consequences, sweeps."""
    locks = any_of(Partition.RESOURCE, Partition.TENANT)
    notes, heads = any_of(Partition.JOB), any_of(Partition.REPEATS)
    records, batches = any_of(Partition.RECORD), any_of(Partition.BATCH)
    sweep = frozenset({Partition.SWEEP.value})
    # what it decided about workers, and which of them have jobs
    scaling, signs = any_of(Partition.SCALING), any_of(Partition.WORKERS)
    # a stopped queue's workers are not scaled up
    switches = any_of(Partition.SWITCH)
    return [
        allow("dynamodb", ["Query"], [attention_arn(table)]),
        _items(table, "Query", on=records | notes | locks | batches | sweep | scaling | signs),
        _items(table, "GetItem", on=records | notes | heads | switches),
        _items(table, "BatchGetItem", on=records),
        _items(table, "ConditionCheckItem", "UpdateItem", on=records | batches),
        # successors and tombstones, edges that are spent, heads that are done, its own progress
        _items(table, "PutItem", on=records | notes | heads | sweep | scaling),
        _items(table, "DeleteItem", on=notes | locks),
        _messages(system, ["SendMessage"], Use.LANE, Use.STATUS),
        # Each tick counts the messages of every lane, to scale the workers.
        _messages(system, ["GetQueueAttributes"], Use.LANE),
        # It reads the dead letters of the lanes; a job that still wants to run is sent again.
        _messages(
            system,
            ["GetQueueAttributes", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"],
            Use.DEAD_LETTER,
        ),
        find_queues(system),
        # The sweep removes outputs of runs that did not commit, and what removed jobs left.
        allow("s3", ["ListBucket"], [input.bucket_arn, output.bucket_arn]),
        allow(
            "s3",
            ["DeleteObject"],
            [
                input.arn_for_objects(f"{INPUT_PREFIX_SUBMITTED}*"),
                output.arn_for_objects("*"),
            ],
        ),
    ]


def worker_calls(
    *,
    system: str,
    queue_name: str,
    table: dynamodb.ITable,
    input: s3.IBucket,  # noqa: A002
    output: s3.IBucket,
    inputs: Iterable[str],
) -> list[iam.PolicyStatement]:
    """The workers of one queue: its own SQS queues, outputs and signs of life, and its inputs.

    inputs: what its workers read in the input bucket, as `readable_inputs` gives it.

    They send to no other queue: the scheduler sends for the jobs of others that they release. Of
    the table's items, IAM tells kinds apart, and queues where the partition key names the queue.
    """
    locks = any_of(Partition.RESOURCE) | {f"{Partition.TENANT}{queue_name}#*"}
    records, batches = any_of(Partition.RECORD), any_of(Partition.BATCH)
    notes, signs = any_of(Partition.JOB), frozenset({f"{Partition.WORKERS}{queue_name}"})
    heads = frozenset({f"{Partition.REPEATS}{queue_name}#*"})
    switch = frozenset({f"{Partition.SWITCH}{queue_name}"})
    return [
        _messages(
            system,
            ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"],
            Use.LANE,
            queue=queue_name,
        ),
        _messages(system, ["SendMessage"], Use.LANE, Use.STATUS, Use.DEAD_LETTER, queue=queue_name),
        # No query of records: a worker reads the jobs it knows, and cannot list the others.
        _items(table, "Query", on=notes | locks | batches | signs),
        _items(table, "GetItem", on=records | heads | switch),
        _items(table, "BatchGetItem", on=records),
        _items(table, "ConditionCheckItem", "UpdateItem", on=records | batches),
        _items(table, "PutItem", on=notes | locks, only=NOTE.only),
        _items(table, "PutItem", on=signs, only=SIGN),
        _items(
            table,
            "PutItem",
            on=records | notes,
            some=REPEAT.some,
            in_transaction=REPEAT.in_transaction,
        ),
        _items(table, "DeleteItem", on=locks),
        allow(
            "s3",
            ["GetObject", "GetObjectVersion"],
            [input.arn_for_objects(keys) for keys in inputs],
        ),
        # Without it, S3 answers 403 for an input that does not exist, and the job's error would be
        # about permissions.
        allow("s3", ["ListBucket"], [input.bucket_arn]),
        allow(
            "s3",
            ["PutObject", "AbortMultipartUpload", "GetObject"],
            [output.arn_for_objects(f"{queue_name}/*")],
        ),
    ]


def nudge_calls(scheduler_arn: str) -> list[iam.PolicyStatement]:
    """The upload function: to wake the scheduler for a queue whose workers may sleep."""
    return [allow("lambda", ["InvokeFunction"], [scheduler_arn])]


def rate_calls(routes: Iterable[Route], table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """The upload function, for the rates of routes; nothing if no route has one."""
    if all(route.max_per_minute is None for route in routes):
        return []
    rates = any_of(Partition.RATE)
    place = {Field.PK, Field.SK, Field.PLACE, Field.EXPIRES}
    return [
        _items(table, "GetItem", on=rates),
        _items(table, "PutItem", on=rates, only=place),
    ]


def budget_calls(
    queue_name: str, queue: QueueSettings, table: dynamodb.ITable
) -> list[iam.PolicyStatement]:
    """The workers of a queue, to count what they spend; nothing if it has no daily budget."""
    if not queue.budgeted:
        return []
    own = {f"{Partition.SPENT}{queue_name}"}
    spent = {Field.PK, Field.SK, Field.RUNS, Field.MICRODOLLARS, Field.EXPIRES}
    return [
        _items(table, "GetItem", on=own),
        _items(table, "PutItem", "UpdateItem", on=own, only=spent),
    ]


def paused_calls(
    queues: Iterable[QueueSettings], table: dynamodb.ITable
) -> list[iam.PolicyStatement]:
    """The scheduler, to tell which queues are paused; nothing if none has a daily budget."""
    if not any(queue.budgeted for queue in queues):
        return []
    return [_items(table, "GetItem", on=any_of(Partition.SPENT))]


def foreign_input_calls(bucket_arn: str) -> list[iam.PolicyStatement]:
    """To read inputs from a bucket that is not the system's own."""
    return [
        allow("s3", ["GetObject", "GetObjectVersion"], [f"{bucket_arn}/*"]),
        # as in the input bucket: without it, a missing file looks like a missing permission
        allow("s3", ["ListBucket"], [bucket_arn]),
    ]


def readable_inputs(queue_name: str, prefixes: Iterable[str]) -> list[str]:
    """Patterns of the keys in the input bucket that the workers of a queue may read.

    prefixes: those of its routes and of its setting `inputs`; an empty one gives the whole bucket.

    Raises: SettingsError, for one that the CDK and cdk-nag could not name in a finding.
    """
    prefixes = tuple(prefixes)
    for prefix in prefixes:
        _check_brackets(queue_name, prefix)
    own = [literal(prefix) for prefix in prefixes]
    if "" in own:
        return ["*"]
    submitted = (
        f"{INPUT_PREFIX_SUBMITTED}{queue_name}/",
        STORED_PREFIX,
        # inputs of jobs that earlier versions submitted: their keys begin with the job's id
        f"{INPUT_PREFIX_SUBMITTED}{Partition.JOB}",
    )
    return [f"{prefix}*" for prefix in (*submitted, *sorted(set(own)))]


def _check_brackets(queue_name: str, prefix: str) -> None:
    """The CDK takes no finding whose brackets are not in pairs, and cdk-nag rewrites braces."""
    opened = []
    for letter in prefix:
        if letter in "([":
            opened.append(_CLOSED_BY[letter])
        elif letter in "{}" or (letter in ")]" and (not opened or opened.pop() != letter)):
            break
    else:
        if not opened:
            return
    raise SettingsError(
        f"[queues.{queue_name}]: its workers cannot be given the files under"
        f" {shown(prefix)}, of a route or of inputs: a prefix has no braces, and its brackets are"
        " in pairs; end it before them"
    )


def literal(text: str) -> str:
    """Text that stands for itself in the resource of a policy.

    Source: IAM User Guide, "IAM policy elements: Variables and tags", special characters.
    """
    return "".join(f"${{{letter}}}" if letter in "*?$" else letter for letter in text)


def protection_calls(tasks_arn: str) -> iam.PolicyStatement:
    """The ECS agent's calls on behalf of a worker that protects itself while it is busy.

    Source: Amazon ECS Developer Guide, "Task scale-in protection endpoint".
    """
    return allow("ecs", ["UpdateTaskProtection"], [tasks_arn])


def key_calls(key: kms.IKey | None) -> list[iam.PolicyStatement]:
    """To use the customer's key, through the services that hold the data; nothing without one.

    Source: Amazon DynamoDB Developer Guide, "DynamoDB encryption at rest", authorizing use of a
    customer managed key; Amazon SQS Developer Guide, "Key management"; Amazon S3 User Guide,
    "Using server-side encryption with AWS KMS keys".
    """
    if key is None:
        return []
    return [
        iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
            resources=[key.key_arn],
            conditions={
                "StringEquals": {
                    "kms:ViaService": [
                        f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}"
                        for service in ("dynamodb", "s3", "sqs")
                    ]
                }
            },
        )
    ]


def log_calls(log_group_arn: str) -> iam.PolicyStatement:
    """To write to one log group only."""
    return allow("logs", ["CreateLogStream", "PutLogEvents"], [log_group_arn])


def permit(grantee: iam.IGrantable, statements: Iterable[iam.PolicyStatement]) -> IConstruct:
    """Add statements to a principal's own policy; return what has the policy.

    Raises: SettingsError, for one that has no policy of its own, such as an account.
    """
    principal = grantee.grant_principal
    # the principal of a policy is no construct, but the policy is
    owners = [one for one in (principal, grantee) if hasattr(one, "node")]
    for statement in statements:
        if not owners or not principal.add_to_principal_policy(statement).statement_added:
            raise SettingsError(
                f"{type(principal).__name__} has no policy of its own: grant it to a role, a user"
                " or a group of the app"
            )
    return cast("IConstruct", owners[0])


def allow(service: str, calls: Iterable[str], resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=[f"{service}:{call}" for call in calls], resources=resources)


def _items(
    table: dynamodb.ITable,
    *calls: str,
    on: Iterable[str],
    only: Iterable[Field] | None = None,
    some: Iterable[Field] | None = None,
    in_transaction: bool = False,
) -> iam.PolicyStatement:
    """Calls on the items of the table whose partition keys are like these patterns."""
    return iam.PolicyStatement(
        actions=[f"dynamodb:{call}" for call in calls],
        resources=[table.table_arn],
        conditions=condition(keys=on, only=only, some=some, in_transaction=in_transaction),
    )


def attention_arn(table: dynamodb.ITable) -> str:
    return f"{table.table_arn}/index/{ATTENTION_INDEX}"


def find_queues(system: str) -> iam.PolicyStatement:
    """To read where the queues of a system are.

    Source: AWS Systems Manager API Reference, GetParametersByPath: who may read a path may read all
    that is under it.
    """
    return iam.PolicyStatement(
        actions=["ssm:GetParametersByPath"], resources=queue_parameters(system)
    )


def queue_parameters(system: str) -> list[str]:
    """The ARNs of the path of the queues' descriptions, and of what is under it."""
    path = parameter_arn(queues_path(system))
    return [path, f"{path}/*"]


def parameter_arn(name: str) -> str:
    """The ARN of an SSM parameter whose name begins with a slash."""
    return f"arn:{Aws.PARTITION}:ssm:{Aws.REGION}:{Aws.ACCOUNT_ID}:parameter{name}"


ANY_QUEUE: Final = f"arn:{Aws.PARTITION}:sqs:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"
"""For statements with the condition `in_queues`."""


def in_queues(system: str, uses: Iterable[Use], *, queue: str | None = None) -> dict[str, Any]:
    """Condition: the SQS queue is of this system, and for one of these uses.

    By tags, not ARNs: hundreds of ARNs would not fit into a policy, and one of another stack could
    not be removed. Whoever may tag queues of the account may give them away.

    queue: of this job queue; default of any.

    Source: Amazon SQS Developer Guide, "ABAC condition keys for Amazon SQS".
    """
    wanted: dict[str, Any] = {
        f"aws:ResourceTag/{Tag.SYSTEM}": system,
        f"aws:ResourceTag/{Tag.USE}": sorted(use.value for use in uses),
    }
    if queue is not None:
        wanted[f"aws:ResourceTag/{Tag.QUEUE}"] = queue
    return {"StringEquals": wanted}


def acknowledge_queues(construct: IConstruct) -> None:
    """Accept policies on any queue with the condition `in_queues`."""
    acknowledge_arn(
        construct,
        ANY_QUEUE,
        because="Queues of this system alone: a condition compares their tags",
    )


def _messages(
    system: str, calls: Iterable[str], *uses: Use, queue: str | None = None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=[f"sqs:{call}" for call in calls],
        resources=[ANY_QUEUE],
        conditions=in_queues(system, uses, queue=queue),
    )
