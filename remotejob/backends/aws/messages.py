"""Message queues in SQS."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NotRequired, TypedDict

from remotejob.backends import limits
from remotejob.backends.aws.service import Service
from remotejob.domain.errors import QueueUnavailable
from remotejob.ports import Address, Capabilities, Clock, Depth, Outgoing, Received

_TRIES: Final = 5
_ATTRIBUTES: Final = ("SentTimestamp", "ApproximateReceiveCount", "MessageGroupId")
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_GONE: Final = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)
"""Error codes for a message that was deleted, or that another receiver has since received."""


class SqsMessages:
    """A `WorkQueue` on SQS standard queues, with up to ten messages per request."""

    def __init__(self, service: Service, urls: Mapping[Address, str], clock: Clock) -> None:
        self._service = service
        self._urls = urls
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        return limits.SQS

    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        url = self._urls[address]
        if len(messages) == 1:
            (message,) = messages
            self._service.call("SendMessage", {"QueueUrl": url, **_entry(message)})
            return
        self._in_batches(address, "SendMessageBatch", [{**_entry(m)} for m in messages], ignored=())

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        answer = self._service.call(
            "ReceiveMessage",
            {
                "QueueUrl": self._urls[address],
                "MaxNumberOfMessages": limit,
                "WaitTimeSeconds": _seconds(wait),
                "VisibilityTimeout": _seconds(hidden),
                "MessageSystemAttributeNames": _ATTRIBUTES,
            },
        )
        messages = answer.get("Messages", [])
        return [
            Received(
                address=address,
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                id=message["MessageId"],
                sent_ms=int(message["Attributes"]["SentTimestamp"]),
                receives=int(message["Attributes"]["ApproximateReceiveCount"]),
                group=message["Attributes"].get("MessageGroupId"),
                together=len(messages),
            )
            for message in messages
        ]

    def delete(self, address: Address, receipts: Sequence[str]) -> None:
        entries: list[dict[str, Any]] = [{"ReceiptHandle": receipt} for receipt in receipts]
        self._in_batches(address, "DeleteMessageBatch", entries)

    def hide(self, address: Address, receipts: Sequence[str], span: timedelta) -> None:
        timeout = _seconds(span)
        self._in_batches(
            address,
            "ChangeMessageVisibilityBatch",
            [{"ReceiptHandle": receipt, "VisibilityTimeout": timeout} for receipt in receipts],
        )

    def depth(self, address: Address) -> Depth:
        """Source: Amazon SQS, GetQueueAttributes: the counts are approximate."""
        answer = self._service.call(
            "GetQueueAttributes", {"QueueUrl": self._urls[address], "AttributeNames": _COUNTS}
        )
        found = answer["Attributes"]
        return Depth(
            visible=int(found["ApproximateNumberOfMessages"]),
            hidden=int(found["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(found["ApproximateNumberOfMessagesDelayed"]),
        )

    def _in_batches(
        self,
        address: Address,
        operation: str,
        entries: list[dict[str, Any]],
        *,
        ignored: Container[str] = _GONE,
    ) -> None:
        """Send ten entries per request, and retry only those that fail.

        Raises: QueueUnavailable, with the queue's error codes, after the last try.
        """
        refused: dict[int, str] = {}
        for start in range(0, len(entries), self.capabilities.batch):
            numbered = {
                str(number): entries[number]
                for number in range(start, min(start + self.capabilities.batch, len(entries)))
            }
            codes: dict[str, str] = {}
            for attempt in range(_TRIES):
                if attempt:
                    self._back_off(attempt)
                batch = [{"Id": key, **entry} for key, entry in numbered.items()]
                answer = self._service.call(
                    operation, {"QueueUrl": self._urls[address], "Entries": batch}
                )
                codes = {
                    failure["Id"]: failure["Code"]
                    for failure in answer.get("Failed", [])
                    if failure["Code"] not in ignored
                }
                numbered = {key: numbered[key] for key in codes}
                if not numbered:
                    break
            refused |= {int(key): code for key, code in codes.items()}
        if refused:
            raise QueueUnavailable(
                f"queue {address.queue!r} ({address.channel}) refused {len(refused)} of "
                f"{len(entries)} messages: {', '.join(sorted(set(refused.values())))}",
                refused=refused,
            )

    def _back_off(self, attempt: int) -> None:
        self._clock.sleep(timedelta(seconds=random.uniform(0, 0.05 * 2**attempt)))  # noqa: S311


class _Entry(TypedDict):
    MessageBody: str
    DelaySeconds: int
    MessageGroupId: NotRequired[str]


def _entry(message: Outgoing) -> _Entry:
    entry = _Entry(MessageBody=message.body, DelaySeconds=_seconds(message.delay))
    if message.group is not None:
        # on a standard queue this gives no order, only fairness between groups
        entry["MessageGroupId"] = message.group
    return entry


def _seconds(span: timedelta) -> int:
    """Whole seconds, rounded up: a message must not become visible early."""
    return -(-span // timedelta(seconds=1))
