"""The SQS queues behind one job queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aws_cdk import CrossStackReferences, Duration, ReferenceStrength, RemovalPolicy, Tags
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from remotejob.names import QueueKey, Tag, Use

LANES: Final = (QueueKey.HIGH, QueueKey.NORMAL, QueueKey.LOW)
STATUS: Final = (QueueKey.COMPLETED, QueueKey.FAILED)
UNREAD: Final = {
    QueueKey.COMPLETED: QueueKey.COMPLETED_DEAD_LETTER,
    QueueKey.FAILED: QueueKey.FAILED_DEAD_LETTER,
}
"""The dead-letter queue of each status queue."""
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
        encryption=_encryption(encryption_key),
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=RETENTION,
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
        removal_policy=removal_policy,
    )


def _encryption(key: kms.IKey | None) -> sqs.QueueEncryption:
    return sqs.QueueEncryption.SQS_MANAGED if key is None else sqs.QueueEncryption.KMS


@dataclass(frozen=True, kw_only=True, slots=True)
class JobQueueProps:
    """Options of `JobQueue`."""

    system: str
    lease_seconds: int
    """The visibility timeout: a message reappears when the lease of its job ends."""
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """Of every queue: a message that nobody has read is a promise."""
    encryption_key: kms.IKey | None = None


class JobQueue(Construct):
    """Three pending lanes with one dead-letter queue; two status queues with one each."""

    def __init__(self, scope: Construct, id: str, props: JobQueueProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._props = props
        dead_letter = self._queue(_id(QueueKey.DEAD_LETTER), Use.DEAD_LETTER)
        lease = Duration.seconds(props.lease_seconds)
        last_resort = sqs.DeadLetterQueue(queue=dead_letter, max_receive_count=LAST_RESORT_RECEIVES)
        self.queues: dict[QueueKey, sqs.Queue] = {QueueKey.DEAD_LETTER: dead_letter}
        for key in LANES:
            self.queues[key] = self._queue(
                _id(key), Use.LANE, visibility_timeout=lease, dead_letter_queue=last_resort
            )
        for key, unread in UNREAD.items():
            self.queues[unread] = self._queue(_id(unread), Use.UNREAD_STATUS)
            self.queues[key] = self._queue(
                _id(key),
                Use.STATUS,
                dead_letter_queue=sqs.DeadLetterQueue(
                    queue=self.queues[unread], max_receive_count=STATUS_RECEIVES
                ),
            )

    def _queue(
        self,
        id: str,  # noqa: A002
        use: Use,
        *,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            id,
            encryption=_encryption(self._props.encryption_key),
            encryption_master_key=self._props.encryption_key,
            retention_period=RETENTION,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
            removal_policy=self._props.removal_policy,
        )
        for tag, value in (
            (Tag.SYSTEM, self._props.system),
            (Tag.QUEUE, self.node.id),
            (Tag.USE, use.value),
        ):
            Tags.of(queue).add(tag.value, value)
        # What another stack takes from it, such as a name for a dashboard, must not keep it from
        # being removed, as an export in use would.
        CrossStackReferences.of(queue).produce(ReferenceStrength.WEAK)
        return queue


class JobQueues(Construct):
    """The SQS queues of all job queues of a system.

    They have eight policies in all, one for each of a job queue's eight queues: a stack has 500
    resources at most.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        props: JobQueueProps,
        *,
        names: Iterable[str],
    ) -> None:
        super().__init__(scope, id)
        self.queues: dict[str, JobQueue] = {name: JobQueue(self, name, props) for name in names}
        alike: defaultdict[str, list[sqs.Queue]] = defaultdict(list)
        for job_queue in self.queues.values():
            for key, queue in job_queue.queues.items():
                alike[_id(key)].append(queue)
        for kind, queues in alike.items():
            sqs.CfnQueuePolicy(
                self,
                # names of queues have no capitals
                f"{kind}Policy",
                queues=[queue.queue_url for queue in queues],
                policy_document=iam.PolicyDocument(statements=[_refuse_plain_http()]),
            )


def _refuse_plain_http() -> iam.PolicyStatement:
    """Resource "*" is the queue that has the policy.

    Source: AWS CloudFormation User Guide, "Amazon SQS queue policy" example.
    """
    return iam.PolicyStatement(
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["sqs:*"],
        resources=["*"],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )


def _id(key: QueueKey) -> str:
    return "".join(word.title() for word in key.value.split("_"))
