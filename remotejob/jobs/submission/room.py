"""The ceiling of a lane: how many messages may wait in it, so that a flood of jobs is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from remotejob.domain.errors import QueueFull
from remotejob.domain.record import JobRecord
from remotejob.jobs.messaging.messages import pending_address
from remotejob.ports import Address, Installation


def lanes_of(records: Iterable[JobRecord], installation: Installation) -> Counter[Address]:
    """How many messages the records need, by lane."""
    return Counter(pending_address(record, installation.queues) for record in records)


def check_room(more: Mapping[Address, int], installation: Installation) -> None:
    """Check that these further messages fit. One request for each lane of a queue with a ceiling.

    SQS's counts are approximate, and others may submit at the same time: the ceiling may be
    exceeded by what they submit at once.

    Raises: QueueFull.
    """
    for address, count in more.items():
        queue = installation.queues.get(address.queue)
        if queue is None or queue.max_pending is None or not count:
            continue
        depth = installation.messages.depth(address)
        waiting = depth.visible + depth.delayed
        if waiting + count > queue.max_pending:
            raise QueueFull(
                address.queue,
                lane=address.channel,
                waiting=waiting,
                more=count,
                max_pending=queue.max_pending,
            )
