"""The scheduler changes the capacity of the queues that use Spot, and of no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob.backends.memory import MemoryFleet
from remotejob.domain.fleet import (
    CapacityShare,
    FleetStatus,
    ServiceEvent,
    WorkersDescription,
)
from remotejob.jobs.scheduler.capacity import shift_capacity
from remotejob.ports import Installation, WorkerSize
from remotejob.testing import FakeClock, memory_installation

MIXED = (
    CapacityShare(provider="FARGATE", weight=30),
    CapacityShare(provider="FARGATE_SPOT", weight=70),
)
ON_DEMAND = (CapacityShare(provider="FARGATE", weight=1),)
SHORT = "was unable to place a task. Reason: Capacity is unavailable at this time."


def system(clock: FakeClock, fleet: Any, *, spot_percent: int = 70) -> Installation:
    made = memory_installation(clock, queues={"a": ("work",), "b": ("work",)})
    size = WorkerSize(cpu=1024, memory_mib=2048, jobs=4, spot_percent=spot_percent)
    queues = {name: replace(queue, size=size) for name, queue in made.queues.items()}
    return replace(made, queues=queues, fleet=fleet)


def fleet_short_of_spot(clock: FakeClock) -> MemoryFleet:
    deployed = WorkersDescription(
        cluster="c",
        service="s",
        min_workers=0,
        max_workers=10,
        jobs_at_a_time=4,
        idle=timedelta(minutes=5),
        capacity=MIXED,
    )
    fleet = MemoryFleet({"a": deployed, "b": deployed})
    now = clock.now_ms()
    events = tuple(ServiceEvent(at_ms=now - ago * 60_000, text=SHORT) for ago in range(5))
    for queue in ("a", "b"):
        fleet.put(
            queue,
            FleetStatus(desired=3, running=0, pending=0, events=events, capacity=MIXED),
        )
    return fleet


def test_every_queue_that_is_short_moves_and_it_is_counted(clock: FakeClock) -> None:
    fleet = fleet_short_of_spot(clock)

    assert shift_capacity(system(clock, fleet)) == {"capacity shifted": 2}

    moved = [fleet.status(queue) for queue in ("a", "b")]
    assert [one.capacity for one in moved if one] == [ON_DEMAND, ON_DEMAND]


def test_nothing_is_asked_about_a_queue_without_spot(clock: FakeClock) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    assert not shift_capacity(system(clock, Silent(), spot_percent=0))


def test_a_service_that_cannot_be_changed_holds_up_no_other(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(MemoryFleet):
        def set_capacity(self, queue: str, shares: tuple[CapacityShare, ...]) -> None:
            if queue == "a":
                raise PermissionError("ecs:UpdateService")
            super().set_capacity(queue, shares)

    fleet = fleet_short_of_spot(clock)
    fleet.__class__ = Stubborn

    assert shift_capacity(system(clock, fleet)) == {"capacity shifted": 1}

    assert "cannot choose the capacity of queue a" in caplog.text
