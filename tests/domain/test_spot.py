"""Workers move to capacity on demand while Spot is short, and back, but rarely."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob.domain.fleet import (
    CapacityShare,
    FleetStatus,
    Rollout,
    ServiceEvent,
    WorkersDescription,
)
from remotejob.domain.spot import KEPT, LONGEST, WAITED, shift
from remotejob.domain.times import span_ms

NOW = 1_800_000_000_000
MINUTE = 60_000
SHORT = (
    "(service jobs) was unable to place a task. Reason: Capacity is unavailable at this time."
    " Please try again later or in a different availability zone."
)
MIXED = (
    CapacityShare(provider="FARGATE", weight=30, base=2),
    CapacityShare(provider="FARGATE_SPOT", weight=70),
)
ALL_ON_DEMAND = (CapacityShare(provider="FARGATE", weight=1, base=2),)
DEPLOYED = WorkersDescription(
    cluster="c",
    service="s",
    min_workers=0,
    max_workers=10,
    jobs_at_a_time=4,
    idle=timedelta(minutes=5),
    capacity=MIXED,
)


def events(*minutes_ago: float, text: str = SHORT) -> tuple[ServiceEvent, ...]:
    return tuple(ServiceEvent(at_ms=NOW - int(ago * MINUTE), text=text) for ago in minutes_ago)


LACKING = FleetStatus(
    desired=6,
    running=2,
    pending=0,
    events=events(1, 2, 3, 4),
    capacity=MIXED,
    deployed_at_ms=NOW - span_ms(timedelta(days=1)),
)


def shifted(
    age: timedelta, *, desired: int = 0, rollout: Rollout = Rollout.COMPLETED
) -> FleetStatus:
    return FleetStatus(
        desired=desired,
        running=desired,
        pending=0,
        rollout=rollout,
        capacity=ALL_ON_DEMAND,
        deployed_at_ms=NOW - span_ms(age),
    )


def test_workers_that_spot_has_no_room_for_start_on_demand() -> None:
    assert shift(DEPLOYED, LACKING, now_ms=NOW) == ALL_ON_DEMAND


@pytest.mark.parametrize(
    "status",
    [
        replace(LACKING, running=6),
        replace(LACKING, events=events(1, 2)),
        replace(LACKING, events=events(70, 75)),
        replace(LACKING, events=events(1, 2, 4, text="(service jobs) has reached a steady state.")),
        replace(LACKING, events=()),
        replace(LACKING, capacity=()),
        # what was said of the deployment before
        replace(LACKING, deployed_at_ms=NOW - 2 * MINUTE),
    ],
    ids=["all run", "for a moment", "long ago", "something else", "silence", "unknown", "before"],
)
def test_workers_stay_on_spot_otherwise(status: FleetStatus) -> None:
    assert shift(DEPLOYED, status, now_ms=NOW) is None


def test_a_steady_state_in_between_begins_the_wait_again() -> None:
    steady = events(2.5, text="(service jobs) has reached a steady state.")
    between = replace(LACKING, events=(*events(1, 2), *steady, *events(3, 4, 5)))

    assert shift(DEPLOYED, between, now_ms=NOW) is None


@pytest.mark.parametrize(
    ("status", "back"),
    [
        (shifted(KEPT), True),
        (shifted(KEPT - timedelta(seconds=1)), False),
        (shifted(KEPT, rollout=Rollout.IN_PROGRESS), False),
        (shifted(KEPT, desired=3), False),
        (shifted(LONGEST, desired=3), True),
    ],
)
def test_spot_is_tried_again_when_that_stops_nobody_or_after_hours(
    status: FleetStatus, *, back: bool
) -> None:
    assert shift(DEPLOYED, status, now_ms=NOW) == (MIXED if back else None)


@pytest.mark.parametrize(
    "capacity",
    [(CapacityShare(provider="FARGATE", weight=1),), (CapacityShare(provider="gpu", weight=1),)],
)
def test_a_queue_without_spot_is_left_alone(capacity: tuple[CapacityShare, ...]) -> None:
    deployed = replace(DEPLOYED, capacity=capacity)

    assert shift(deployed, replace(LACKING, capacity=capacity), now_ms=NOW) is None


def test_a_shortage_that_stays_changes_the_service_twice_in_six_hours_at_most() -> None:
    """Minute by minute: Spot has no room all day, and six workers are wanted."""
    capacity: tuple[CapacityShare, ...] = MIXED
    deployed_at, changes = NOW, []
    short_since: int | None = NOW
    for now in range(NOW, NOW + span_ms(timedelta(days=1)), MINUTE):
        said = () if short_since is None else range(now, short_since, -MINUTE)
        status = FleetStatus(
            desired=6,
            running=2 if capacity == MIXED else 6,
            pending=0,
            events=tuple(ServiceEvent(at_ms=at, text=SHORT) for at in said),
            capacity=capacity,
            deployed_at_ms=deployed_at,
        )
        wanted = shift(DEPLOYED, status, now_ms=now)
        if wanted is not None:
            capacity, deployed_at = wanted, now
            short_since = now if wanted == MIXED else None
            changes.append(now)

    assert changes[0] - NOW <= span_ms(WAITED) + MINUTE
    assert len(changes) <= 2 * 4
