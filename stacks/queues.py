"""The SQS queues behind one job queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from remotejob.names import QueueKey

LANES: Final = (QueueKey.HIGH, QueueKey.NORMAL, QueueKey.LOW)
STATUS: Final = (QueueKey.COMPLETED, QueueKey.FAILED)
RETENTION: Final = Duration.days(14)
"""The most SQS offers: a message is a promise, and is kept as long as can be."""

LAST_RESORT_RECEIVES: Final = 1000
"""How often a pending message is received before SQS itself gives it up.

High on purpose: what a job may fail or crash is counted in its record, while a receive may also
be a duplicate or a hidden message come early. The worker moves what it cannot read by itself.
"""

STATUS_RECEIVES: Final = 10
"""How often the reader of a status queue may fail at one message."""


def secure_queue(
    scope: Construct,
    id: str,  # noqa: A002
    *,
    visibility_timeout: Duration | None = None,
    dead_letter_queue: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    """A queue as all of ours are: encrypted, TLS only, with the longest retention.

    visibility_timeout: SQS's own (30 seconds) if not given.
    """
    return sqs.Queue(
        scope,
        id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=RETENTION,
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class JobQueueProps:
    """Options of `JobQueue`."""

    lease_seconds: int
    """The visibility timeout: the message comes back when the lease it stands for ends."""


class JobQueue(Construct):
    """Three pending lanes with one dead-letter queue; completed and failed, each with its own."""

    def __init__(self, scope: Construct, id: str, props: JobQueueProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        dead_letter = secure_queue(self, "DeadLetter")
        lease = Duration.seconds(props.lease_seconds)
        last_resort = sqs.DeadLetterQueue(queue=dead_letter, max_receive_count=LAST_RESORT_RECEIVES)
        self.queues: dict[QueueKey, sqs.Queue] = {QueueKey.DEAD_LETTER: dead_letter}
        for key in LANES:
            self.queues[key] = secure_queue(
                self, _id(key), visibility_timeout=lease, dead_letter_queue=last_resort
            )
        for key in STATUS:
            unread = secure_queue(self, f"{_id(key)}DeadLetter")
            self.queues[key] = secure_queue(
                self,
                _id(key),
                dead_letter_queue=sqs.DeadLetterQueue(
                    queue=unread, max_receive_count=STATUS_RECEIVES
                ),
            )

    def arns(self, keys: Sequence[QueueKey]) -> list[str]:
        return [self.queues[key].queue_arn for key in keys]


def _id(key: QueueKey) -> str:
    return key.value.title()
