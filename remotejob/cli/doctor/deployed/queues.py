"""The SQS queues: that they exist, with their policies and attributes as deployed; and their dead
letters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.deployed.inventory import Inventory, Resource, refers_to
from remotejob.cli.doctor.findings import Finding, Severity

_AT_A_TIME: Final = 8

_COMPARED: Final = {
    "MessageRetentionPeriod": "messages are kept for {} s, not {} s",
    "VisibilityTimeout": "messages are hidden for {} s, not {} s",
    "DelaySeconds": "messages are delayed by {} s, not {} s",
    "MaximumMessageSize": "messages may have {} bytes, not {}",
}
"""Attributes, and what is wrong if the live one differs from the deployed one."""

_GONE: Final = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    queue: Resource
    attributes: Mapping[str, str] | None
    """None if there is no such queue."""


def check_queues(context: Context) -> Iterator[Finding]:
    inventory = context.inventory
    for seen in _read(context):
        yield from _of(seen, inventory)


def check_dead_letters(context: Context) -> Iterator[Finding]:
    targets = _dead_letter_queues(context.inventory)
    for seen in _read(context):
        if seen.queue.logical_id not in targets or seen.attributes is None:
            continue
        count = int(seen.attributes["ApproximateNumberOfMessages"])
        if count:
            yield Finding(
                place=_name(seen.queue),
                what=f"it holds about {count:,} dead letters",
                remedy="read them: remotejob deadletters; once their cause is mended: remotejob "
                "redrive",
                severity=Severity.WARNING,
            )


def _read(context: Context) -> list[_Seen]:
    client = context.client("sqs")

    def read(queue: Resource) -> _Seen:
        try:
            answer = client.get_queue_attributes(QueueUrl=queue.physical_id, AttributeNames=["All"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            return _Seen(queue=queue, attributes=None)
        return _Seen(queue=queue, attributes=answer["Attributes"])

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(read, context.inventory.of("AWS::SQS::Queue")))


def _of(seen: _Seen, inventory: Inventory) -> Iterator[Finding]:
    queue, live = seen.queue, seen.attributes
    place = _name(queue)
    if live is None:
        yield Finding(
            place=place,
            what="it does not exist: its messages are lost",
            remedy="take the queue out of remotejob.toml, deploy, and add it again; the sweep "
            "sends the messages of its jobs again",
        )
        return
    if "RedrivePolicy" in queue.properties and "RedrivePolicy" not in live:
        yield Finding(
            place=place,
            what="it has no dead-letter queue any more: a message that nobody can handle comes "
            "back until it expires, and is lost",
            remedy=_deploy(queue),
        )
    wanted = _statements(queue, inventory)
    found = json.loads(live["Policy"])["Statement"] if live.get("Policy") else []
    if len(found) < wanted:
        yield Finding(
            place=place,
            what=f"its policy has {len(found)} of {wanted} statements: it accepts requests without "
            "TLS, or nobody may send the events of uploads to it",
            remedy=_deploy(queue),
        )
    for attribute, what in _COMPARED.items():
        deployed = queue.properties.get(attribute)
        if deployed is not None and live.get(attribute) != str(deployed):
            yield Finding(
                place=place,
                what=what.format(live.get(attribute), deployed),
                remedy=_deploy(queue),
                severity=Severity.WARNING,
            )


def _statements(queue: Resource, inventory: Inventory) -> int:
    """How many statements the deployed policies of a queue have."""
    return sum(
        len(policy.properties["PolicyDocument"]["Statement"])
        for policy in inventory.of("AWS::SQS::QueuePolicy")
        if refers_to(policy.properties["Queues"], [queue.logical_id]) is not None
    )


def _dead_letter_queues(inventory: Inventory) -> set[str]:
    """Logical ids of the queues to which others, or rules, send what they cannot deliver."""
    queues = [one.logical_id for one in inventory.of("AWS::SQS::Queue")]
    senders: list[Any] = [
        one.properties["RedrivePolicy"]
        for one in inventory.of("AWS::SQS::Queue")
        if "RedrivePolicy" in one.properties
    ]
    senders += [
        target["DeadLetterConfig"]
        for rule in inventory.of("AWS::Events::Rule")
        for target in rule.properties.get("Targets", ())
        if "DeadLetterConfig" in target
    ]
    found = (refers_to(one, queues) for one in senders)
    return {one for one in found if one is not None}


def _deploy(queue: Resource) -> str:
    return (
        "somebody changed it by hand: deploy with a change of the queue, or put "
        f"{queue.logical_id} back as the template has it"
    )


def _name(queue: Resource) -> str:
    return f"queue {queue.physical_id.rpartition('/')[2]}"
