"""The scheduler's choice of capacity, against services that keep to their shares as ECS does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob.domain import fleet
from remotejob.domain.spot import KEPT, WAITED, shift
from remotejob.domain.times import to_ms
from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.service import Provider, Status
from tests.local.ecs.stage import FIRST, Stage

SHARES = (Provider(name="FARGATE", weight=1, base=1), Provider(name="FARGATE_SPOT", weight=3))
DEPLOYED = fleet.WorkersDescription(
    cluster="cluster",
    service="workers",
    min_workers=0,
    max_workers=10,
    jobs_at_a_time=4,
    idle=timedelta(minutes=5),
    capacity=tuple(
        fleet.CapacityShare(provider=one.name, weight=one.weight, base=one.base) for one in SHARES
    ),
)


def status(stage: Stage) -> fleet.FleetStatus:
    service = stage.service
    return fleet.FleetStatus(
        desired=service.desired,
        running=service.count(Status.RUNNING, service.primary),
        pending=service.count(Status.PENDING, service.primary),
        rollout=fleet.Rollout(service.primary.rollout.value.lower()),
        events=tuple(
            fleet.ServiceEvent(at_ms=to_ms(event.at), text=event.message)
            for event in service.events
        ),
        capacity=tuple(
            fleet.CapacityShare(provider=one.name, weight=one.weight, base=one.base)
            for one in service.primary.configuration.providers
        ),
        deployed_at_ms=to_ms(service.primary.created_at),
    )


def tick(stage: Stage, minutes: int) -> int:
    """Let minutes pass, and the scheduler look at each; how often it changed the service."""
    changes = 0
    for _ in range(minutes):
        stage.passes(60)
        wanted = shift(DEPLOYED, status(stage), now_ms=to_ms(stage._now()))
        if wanted is not None:
            providers = tuple(
                Provider(name=one.provider, weight=one.weight, base=one.base) for one in wanted
            )
            stage.deploy(replace(FIRST, providers=providers))
            changes += 1
    return changes


def placed(stage: Stage) -> Counter[str]:
    return Counter(task.provider for task in stage.running())


@pytest.mark.exhaustive
def test_workers_start_on_demand_while_spot_is_short_and_on_spot_again() -> None:
    stage = Stage(configuration=replace(FIRST, providers=SHARES))
    stage.break_starts(StartFault.NO_SPOT_CAPACITY)
    stage.desire(5)
    stage.passes(30)
    assert placed(stage) == {"FARGATE": 2}

    assert tick(stage, minutes=WAITED // timedelta(minutes=1) + 2) == 1
    assert placed(stage) == {"FARGATE": 5}

    stage.break_starts(None)
    assert tick(stage, minutes=5) == 0
    stage.desire(0)
    assert tick(stage, minutes=KEPT // timedelta(minutes=1)) == 1
    stage.desire(5)
    stage.passes(60)
    assert placed(stage) == {"FARGATE": 2, "FARGATE_SPOT": 3}
