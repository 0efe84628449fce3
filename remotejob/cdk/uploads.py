"""Uploads: a file in the input bucket → EventBridge → SQS → a function makes a job of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Aws, Duration, RemovalPolicy, Stack, Tags
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from remotejob.cdk.checks import acknowledge
from remotejob.cdk.functions import PythonFunction, PythonFunctionProps
from remotejob.cdk.queues import secure_queue
from remotejob.domain.errors import SettingsError
from remotejob.names import (
    INPUT_PREFIX_SUBMITTED,
    UPLOAD_RECEIVES,
    Tag,
    UploadsKey,
    Use,
    uploads_parameter,
)

TIMEOUT: Final = Duration.seconds(30)
MEMORY_MIB: Final = 512
BATCH: Final = 10
MAX_CONCURRENCY: Final = 10
"""Functions at a time: they handle 100 uploads, and leave room for other functions of the account.
"""


LARGEST_PATTERN: Final = 2048
"""Characters. Source: Amazon EventBridge User Guide, "Amazon EventBridge quotas", event pattern
size."""
_REST_OF_PATTERN: Final = 200
"""Room for the source, the kind of event and a bucket's name of 63."""

_EVENTS: Final = "events.amazonaws.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadsProps:
    """Options of `Uploads`."""

    system: str
    input_bucket_name: str
    prefixes: Sequence[str] | None = None
    """Only files under these are announced; None for all but submitted inputs."""
    function: PythonFunctionProps
    handler: str
    encryption_key: kms.IKey | None = None
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """What happens to its queues when the stack is destroyed: their messages are uploads that have
    no job yet."""


class Uploads(Construct):
    """The upload rule, its queue, and the upload function."""

    def __init__(self, scope: Construct, id: str, props: UploadsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        key, removal = props.encryption_key, props.removal_policy
        self.dead_letters = secure_queue(
            self, "DeadLetter", encryption_key=key, removal_policy=removal
        )
        self.queue = secure_queue(
            self,
            "Queue",
            # Six times the function's timeout, so no message reappears while it is retried.
            # Source: AWS Lambda, "Using Lambda with Amazon SQS".
            visibility_timeout=Duration.seconds(6 * int(TIMEOUT.to_seconds())),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=UPLOAD_RECEIVES
            ),
            encryption_key=key,
            removal_policy=removal,
        )
        self.function = PythonFunction(
            self,
            "OnUpload",
            props.function,
            handler=props.handler,
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
                    "object": {"key": _keys(props.prefixes)},
                },
            ),
        )
        # Uploads without a job: EventBridge could not queue their events within a day.
        self.undelivered = secure_queue(
            self, "Undelivered", encryption_key=key, removal_policy=removal
        )
        acknowledge(
            self.undelivered, "SQS3", because="It is a dead-letter queue: that of the upload rule"
        )
        self._describe(props.system)
        self._let_send(rule, key)
        rule.add_target(
            targets.SqsQueue(
                # By its ARN alone: with the queue's key, the CDK would let the rules of any account
                # send, and name this rule in the policy of a key that the rule's queue refers to.
                sqs.Queue.from_queue_arn(self, "Target", self.queue.queue_arn),
                dead_letter_queue=self.undelivered,
                max_event_age=Duration.hours(24),
                retry_attempts=185,
            )
        )

    def _describe(self, system: str) -> None:
        """Let clients find the queues, and policies tell them from others."""
        queues = {
            UploadsKey.UPLOADS: (self.queue, Use.UPLOADS),
            UploadsKey.DEAD_LETTER: (self.dead_letters, Use.UNREAD_UPLOADS),
            UploadsKey.UNDELIVERED: (self.undelivered, Use.UNREAD_UPLOADS),
        }
        for queue, use in queues.values():
            Tags.of(queue).add(Tag.SYSTEM.value, system)
            Tags.of(queue).add(Tag.USE.value, use.value)
        ssm.StringParameter(
            self,
            "Description",
            parameter_name=uploads_parameter(system),
            description="What clients read to find the uploads",
            string_value=Stack.of(self).to_json_string(
                {key.value: queue.queue_url for key, (queue, _) in queues.items()}
            ),
        )

    def _let_send(self, rule: events.Rule, key: kms.IKey | None) -> None:
        """Let this rule send, and EventBridge use the key for rules of this account."""
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sqs:SendMessage"],
                resources=[self.queue.queue_arn],
                principals=[iam.ServicePrincipal(_EVENTS)],
                conditions={"ArnEquals": {"aws:SourceArn": rule.rule_arn}},
            )
        )
        if key is not None:
            # nothing happens to a key that is imported: its owner writes its policy
            key.grant(
                iam.ServicePrincipal(
                    _EVENTS, conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
                ),
                "kms:Decrypt",
                "kms:GenerateDataKey",
            )


def _keys(prefixes: Sequence[str] | None) -> list[str]:
    """Which keys the rule announces. A submitted input already has its job."""
    if prefixes is None or "" in prefixes:
        return events.Match.anything_but_prefix(INPUT_PREFIX_SUBMITTED)
    size = sum(len(json.dumps({"prefix": prefix})) + 1 for prefix in prefixes)
    if size > LARGEST_PATTERN - _REST_OF_PATTERN:
        raise SettingsError(
            f"[[routes]]: their prefixes have {size:,} characters in the rule of the input bucket"
            f" that the app brings, and EventBridge takes {LARGEST_PATTERN - _REST_OF_PATTERN:,}:"
            " share a prefix above several"
        )
    return [key for prefix in prefixes for key in events.Match.prefix(prefix)]
