"""The order of a queue: by priority, or all jobs in one lane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import RemoteJob, Submission
from remotejob.domain.priority import Lane, Order, Priority
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation, QueueDescription
from remotejob.testing import FakeClock
from tests.systems import BACKENDS, installation_on

PRIORITIES = (Priority.CRITICAL, Priority.NORMAL, Priority.LOW)


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield made


def ordered(installation: Installation, order: Order) -> Installation:
    queue = QueueDescription(name="default", tasks=("work",), order=order)
    return replace(installation, queues={"default": queue})


def depths(installation: Installation) -> list[int]:
    """How many messages are visible in the high, the normal and the low lane."""
    addresses = (Address("default", Channel(lane.value)) for lane in Lane)
    return [installation.messages.depth(address).visible for address in addresses]


@pytest.mark.parametrize(
    ("order", "lanes"),
    [(Order.WEIGHTED, [1, 1, 1]), (Order.FIFO, [0, 3, 0]), (Order.RANDOM, [0, 3, 0])],
)
def test_the_order_says_which_lanes_are_used(
    installation: Installation, clock: FakeClock, order: Order, lanes: list[int]
) -> None:
    installation = ordered(installation, order)
    queue = RemoteJob(installation).queue()
    # one by one, together, and late enough for the scheduler to send
    for priority in PRIORITIES:
        queue.submit("work", priority=priority)
    assert depths(installation) == lanes
    queue.submit_many(Submission(task="work", priority=priority) for priority in PRIORITIES)
    assert depths(installation) == [2 * count for count in lanes]
    for priority in PRIORITIES:
        queue.submit("work", priority=priority, delay=timedelta(days=1))
    clock.advance(timedelta(days=1))
    assert tick(installation)["sent"] == 3
    assert depths(installation) == [3 * count for count in lanes]
