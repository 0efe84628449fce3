"""Uploads: a file in the input bucket → EventBridge → SQS → a function makes a job of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from remotejob.names import INPUT_PREFIX_SUBMITTED
from stacks.checks import acknowledge
from stacks.functions import PythonFunction, PythonFunctionProps
from stacks.queues import secure_queue

HANDLER: Final = "lambdas.on_upload.handler"
TIMEOUT: Final = Duration.seconds(30)
MEMORY_MIB: Final = 512
BATCH: Final = 10
MAX_RECEIVES: Final = 10
"""Half an hour of failures: longer than a short outage of AWS, and short enough to notice."""

MAX_CONCURRENCY: Final = 10
"""Functions at a time: they handle 100 uploads, and leave room for other functions of the account.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadsProps:
    """Options of `Uploads`."""

    input_bucket_name: str
    function: PythonFunctionProps


class Uploads(Construct):
    """The upload rule, its queue, and the upload function."""

    def __init__(self, scope: Construct, id: str, props: UploadsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self.queue = secure_queue(
            self,
            "Queue",
            # Six times the function's timeout, so no message reappears while it is retried.
            # Source: AWS Lambda, "Using Lambda with Amazon SQS".
            visibility_timeout=Duration.seconds(6 * int(TIMEOUT.to_seconds())),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=secure_queue(self, "DeadLetter"), max_receive_count=MAX_RECEIVES
            ),
        )
        self.function = PythonFunction(
            self,
            "OnUpload",
            props.function,
            handler=HANDLER,
            description="Makes a job of each upload that a route takes",
            timeout=TIMEOUT,
            memory_mib=MEMORY_MIB,
        )
        lambda_.EventSourceMapping(
            self,
            "Source",
            target=self.function.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=BATCH,
            max_concurrency=MAX_CONCURRENCY,
            # If one record fails, only that one is retried.
            report_batch_item_failures=True,
        )
        rule = events.Rule(
            self,
            "Rule",
            description="A file arrived in the input bucket",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [props.input_bucket_name]},
                    # A submitted input already has its job.
                    "object": {"key": events.Match.anything_but_prefix(INPUT_PREFIX_SUBMITTED)},
                },
            ),
        )
        # Uploads without a job: EventBridge could not queue their events within a day.
        undelivered = secure_queue(self, "Undelivered")
        acknowledge(
            undelivered, "SQS3", because="It is a dead-letter queue: that of the upload rule"
        )
        rule.add_target(
            targets.SqsQueue(
                self.queue,
                dead_letter_queue=undelivered,
                max_event_age=Duration.hours(24),
                retry_attempts=185,
            )
        )
