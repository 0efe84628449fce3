"""Whether a queue takes further jobs: not if it is retired, nor beyond the ceiling of a lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from remotejob.domain.errors import QueueFull, QueueRetired
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

    Raises: QueueRetired; QueueFull.
    """
    for address, count in more.items():
        queue = installation.queues.get(address.queue)
        if queue is None or not count:
            continue
        if queue.retired:
            raise QueueRetired(queue.name)
        if queue.max_pending is None:
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
