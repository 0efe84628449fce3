"""The AWS calls that functions and workers may make, and on which resources, written by hand.

Keep the list in step with the code: delete a call that the code no longer makes. A new call fails
in the embedded AWS, which enforces these policies, until you add it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from remotejob.names import ATTENTION_INDEX, INPUT_PREFIX_SUBMITTED, QueueKey
from remotejob.settings import Route
from stacks.queues import LANES, STATUS, JobQueue


def upload_calls(
    *, uploads: sqs.IQueue, table: dynamodb.ITable, queues: Mapping[str, JobQueue]
) -> list[iam.PolicyStatement]:
    """The upload function. Lambda itself makes the first four calls, on the function's behalf."""
    return [
        allow(
            "sqs",
            ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"],
            [uploads.queue_arn],
        ),
        allow("dynamodb", ["PutItem"], [table.table_arn]),
        allow("sqs", ["SendMessage"], _arns(queues.values(), LANES)),
    ]


def scheduler_calls(
    *,
    table: dynamodb.ITable,
    queues: Mapping[str, JobQueue],
    input: s3.IBucket,  # noqa: A002
    output: s3.IBucket,
) -> list[iam.PolicyStatement]:
    """The scheduler: reads and sends due jobs, carries out owed consequences, sweeps."""
    return [
        allow("dynamodb", ["Query"], [table.table_arn, attention_arn(table)]),
        allow("dynamodb", [*_RECORDS, "GetItem"], [table.table_arn]),
        allow("sqs", ["SendMessage"], _arns(queues.values(), (*LANES, *STATUS))),
        # The sweep looks at every lane, so SQS goes on measuring it.
        allow("sqs", ["GetQueueAttributes"], _arns(queues.values(), LANES)),
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
    queue_name: str,
    queues: Mapping[str, JobQueue],
    table: dynamodb.ITable,
    input: s3.IBucket,  # noqa: A002
    output: s3.IBucket,
) -> list[iam.PolicyStatement]:
    """The workers of one queue: its own SQS queues, its own outputs, any input.

    They also send to the lanes and status queues of all queues, because the end of a job may
    release or cancel jobs of any queue.
    """
    queue = queues[queue_name]
    return [
        allow(
            "sqs",
            ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"],
            queue.arns(LANES),
        ),
        allow("sqs", ["SendMessage"], queue.arns([QueueKey.DEAD_LETTER])),
        allow("sqs", ["SendMessage"], _arns(queues.values(), (*LANES, *STATUS))),
        allow("dynamodb", [*_RECORDS, "GetItem", "Query"], [table.table_arn]),
        allow("s3", ["GetObject", "GetObjectVersion"], [input.arn_for_objects("*")]),
        # Without it, S3 answers 403 for an input that does not exist, and the job's error would be
        # about permissions.
        allow("s3", ["ListBucket"], [input.bucket_arn]),
        allow(
            "s3",
            ["PutObject", "AbortMultipartUpload", "GetObject"],
            [output.arn_for_objects(f"{queue_name}/*")],
        ),
    ]


def rate_calls(routes: Iterable[Route], table: dynamodb.ITable) -> list[iam.PolicyStatement]:
    """To read which places a route's uploads have taken; nothing if no route has a rate."""
    if all(route.max_per_minute is None for route in routes):
        return []
    return [allow("dynamodb", ["GetItem"], [table.table_arn])]


def measuring_calls(queues: Iterable[JobQueue]) -> list[iam.PolicyStatement]:
    """To submit from within a job to a queue with `max_pending`; nothing if none has it."""
    lanes = _arns(queues, LANES)
    return [allow("sqs", ["GetQueueAttributes"], lanes)] if lanes else []


_RECORDS = ("BatchGetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
"""To read, to change, and to change in transactions.
Source: Amazon DynamoDB, "Using IAM with transactions"."""


def protection_calls(tasks_arn: str) -> iam.PolicyStatement:
    """The ECS agent's calls on behalf of a worker that protects itself while it is busy.

    Source: Amazon ECS Developer Guide, "Task scale-in protection endpoint".
    """
    return allow("ecs", ["GetTaskProtection", "UpdateTaskProtection"], [tasks_arn])


def log_calls(log_group_arn: str) -> iam.PolicyStatement:
    """To write to one log group only."""
    return allow("logs", ["CreateLogStream", "PutLogEvents"], [log_group_arn])


def allow(service: str, calls: Iterable[str], resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=[f"{service}:{call}" for call in calls], resources=resources)


def attention_arn(table: dynamodb.ITable) -> str:
    return f"{table.table_arn}/index/{ATTENTION_INDEX}"


def _arns(queues: Iterable[JobQueue], keys: tuple[QueueKey, ...]) -> list[str]:
    return [arn for queue in queues for arn in queue.arns(keys)]
