"""What a receipt needs of a deployed system comes with its description and its messages."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from remotejob.backends.aws.system_description import DescribedQueue
from remotejob.ports import (
    Address,
    Channel,
    Installation,
    Outgoing,
    QueueDescription,
    WorkerSize,
)
from remotejob.testing import memory_installation
from tests.aws import aws_installation


def described(**options: Any) -> QueueDescription:
    queue = {channel.value: f"https://sqs/{channel}" for channel in Channel}
    text = json.dumps({**queue, "tasks": ["work"], **options})
    return DescribedQueue.from_json(text, name="default", origin="the parameter").queue


def test_a_description_tells_the_size_of_the_workers() -> None:
    size = described(size=[1024, 2048, 8]).size
    assert size == WorkerSize(cpu=1024, memory_mib=2048, jobs=8)


def test_a_description_tells_what_else_a_worker_costs() -> None:
    size = described(size=[1024, 2048, 8, 1, 50, 70]).size
    assert size == WorkerSize(
        cpu=1024, memory_mib=2048, jobs=8, arm=True, storage_gib=50, spot_percent=70
    )


def test_a_description_of_before_does_not_know_it() -> None:
    assert described().size is None


def received_together(installation: Installation) -> set[int]:
    address = Address("default", Channel.NORMAL)
    installation.messages.send(address, [Outgoing(body=str(number)) for number in range(3)])
    received = installation.messages.receive(
        address, limit=10, wait=timedelta(0), hidden=timedelta(seconds=60)
    )
    return {message.together for message in received}


def test_a_message_knows_how_many_came_with_it() -> None:
    assert received_together(memory_installation()) == {3}
    with aws_installation() as aws:
        assert received_together(aws) == {3}
