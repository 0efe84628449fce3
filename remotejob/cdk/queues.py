"""The SQS queues behind one job queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from remotejob.names import QueueKey

LANES: Final = (QueueKey.HIGH, QueueKey.NORMAL, QueueKey.LOW)
STATUS: Final = (QueueKey.COMPLETED, QueueKey.FAILED)
RETENTION: Final = Duration.days(14)
"""The longest that SQS offers, because a lost message would be a lost job."""

LAST_RESORT_RECEIVES: Final = 1000
"""After so many receives, SQS itself gives up on a pending message.

High on purpose: the record counts a job's failures and crashes, while a receive may also be a
duplicate, or a hidden message that reappeared early. The worker itself moves messages that it
cannot read.
"""

STATUS_RECEIVES: Final = 10
"""How often the reader of a status queue may fail to handle a message."""


def secure_queue(
    scope: Construct,
    id: str,  # noqa: A002
    *,
    visibility_timeout: Duration | None = None,
    dead_letter_queue: sqs.DeadLetterQueue | None = None,
    encryption_key: kms.IKey | None = None,
    removal_policy: RemovalPolicy | None = None,
) -> sqs.Queue:
    """A queue like all of ours: encrypted, TLS only, with the longest retention.

    visibility_timeout: default SQS's own, 30 seconds. encryption_key: default SQS's own.
    removal_policy: default CloudFormation's own, which deletes it.
    """
    return sqs.Queue(
        scope,
        id,
        encryption=(
            sqs.QueueEncryption.SQS_MANAGED if encryption_key is None else sqs.QueueEncryption.KMS
        ),
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=RETENTION,
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
        removal_policy=removal_policy,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class JobQueueProps:
    """Options of `JobQueue`."""

    lease_seconds: int
    """The visibility timeout: a message reappears when the lease of its job ends."""
    encryption_key: kms.IKey | None = None
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """Of every queue: a message that nobody has read is a promise."""


class JobQueue(Construct):
    """Three pending lanes with one dead-letter queue; two status queues with one each."""

    def __init__(self, scope: Construct, id: str, props: JobQueueProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        like_all = partial(
            secure_queue,
            self,
            encryption_key=props.encryption_key,
            removal_policy=props.removal_policy,
        )
        dead_letter = like_all("DeadLetter")
        lease = Duration.seconds(props.lease_seconds)
        last_resort = sqs.DeadLetterQueue(queue=dead_letter, max_receive_count=LAST_RESORT_RECEIVES)
        self.queues: dict[QueueKey, sqs.Queue] = {QueueKey.DEAD_LETTER: dead_letter}
        for key in LANES:
            self.queues[key] = like_all(
                _id(key), visibility_timeout=lease, dead_letter_queue=last_resort
            )
        for key in STATUS:
            unread = like_all(f"{_id(key)}DeadLetter")
            self.queues[key] = like_all(
                _id(key),
                dead_letter_queue=sqs.DeadLetterQueue(
                    queue=unread, max_receive_count=STATUS_RECEIVES
                ),
            )

    def arns(self, keys: Sequence[QueueKey]) -> list[str]:
        return [self.queues[key].queue_arn for key in keys]


def _id(key: QueueKey) -> str:
    return key.value.title()
