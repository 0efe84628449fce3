"""The workers as ECS tells of them, and what the workers stack wrote about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto import mock_aws

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.fleet import KEPT, EcsFleet, _status, _stopped
from remotejob.backends.memory import MemoryFleet
from remotejob.domain.errors import SettingsError
from remotejob.domain.fleet import CapacityShare, FleetStatus, Rollout, WorkersDescription
from remotejob.domain.times import to_ms
from remotejob.names import workers_parameter
from remotejob.testing import FakeClock
from tests.aws import counted_requests, session

QUEUE = "thumbnails"
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
DESCRIBED = WorkersDescription(
    cluster="ours",
    service="workers",
    min_workers=0,
    max_workers=7,
    jobs_at_a_time=4,
    idle=timedelta(minutes=5),
    capacity=(CapacityShare(provider="FARGATE_SPOT", weight=3, base=1),),
)
TEXT: Mapping[str, Any] = {
    "version": 1,
    "cluster": "ours",
    "service": "workers",
    "min": 0,
    "max": 7,
    "jobs": 4,
    "idle_minutes": 5,
    "capacity": [["FARGATE_SPOT", 3, 1]],
}


class Ecs:
    """A service in moto, as the workers stack makes it."""

    def __init__(self) -> None:
        made = session()
        self.ecs: Any = made.client("ecs")
        self.ssm: Any = made.client("ssm")

    def deploy(self, queue: str = QUEUE) -> None:
        self.ecs.create_cluster(clusterName="ours")
        self.ecs.register_task_definition(family="worker", containerDefinitions=[])
        self.ecs.create_service(
            cluster="ours", serviceName="workers", taskDefinition="worker", desiredCount=1
        )
        self.describe(TEXT, queue)

    def describe(self, text: Mapping[str, Any], queue: str = QUEUE) -> None:
        name = workers_parameter("test", queue)
        self.ssm.put_parameter(Name=name, Value=json.dumps(text), Type="String", Overwrite=True)


@pytest.fixture
def ecs() -> Iterator[Ecs]:
    with mock_aws():
        yield Ecs()


def fleet(*queues: str, clock: FakeClock | None = None) -> EcsFleet:
    queues = queues or (QUEUE,)
    return EcsFleet(Account(session()), system="test", queues=queues, clock=clock or FakeClock())


def test_workers_are_found_counted_and_changed(ecs: Ecs) -> None:
    ecs.deploy()
    found = fleet()

    assert found.describe(QUEUE) == DESCRIBED
    found.set_desired(QUEUE, 3)

    status = found.status(QUEUE)
    assert status is not None
    # moto's workers run at once
    assert (status.desired, status.running, status.failed_starts) == (3, 3, 0)
    (service,) = ecs.ecs.describe_services(cluster="ours", services=["workers"])["services"]
    assert service["desiredCount"] == 3


def test_a_queue_without_workers_has_no_status_and_cannot_be_scaled(ecs: Ecs) -> None:
    ecs.deploy()
    found = fleet(QUEUE, "elsewhere")

    assert found.describe("elsewhere") is None
    assert found.status("elsewhere") is None
    assert found.stopped("elsewhere") == ()
    with pytest.raises(SettingsError, match="no workers were deployed for queue 'elsewhere'"):
        found.set_desired("elsewhere", 1)


def test_a_cluster_or_service_that_is_gone_has_no_status(ecs: Ecs) -> None:
    ecs.deploy()
    found = fleet()
    ecs.ecs.delete_service(cluster="ours", service="workers", force=True)
    assert found.status(QUEUE) is None
    ecs.describe({**TEXT, "cluster": "gone"})
    assert fleet().status(QUEUE) is None


def test_more_queues_than_a_request_takes_are_read_in_several(ecs: Ecs) -> None:
    names = [f"queue-{number}" for number in range(23)]
    for name in names:
        ecs.describe({**TEXT, "service": name}, name)
    found = fleet(*names)
    with counted_requests() as one:
        assert found.describe("queue-7") is not None
        assert one["GetParameters"] == 1, "a question about one queue costs one request"
    services = [described.service for name in names if (described := found.describe(name))]
    assert services == names


def test_descriptions_are_read_again_after_minutes_and_nothing_is_before(ecs: Ecs) -> None:
    ecs.deploy()
    clock = FakeClock()
    found = fleet(clock=clock)
    with counted_requests() as requests:
        for _ in range(3):
            assert found.describe(QUEUE) == DESCRIBED
        ecs.describe({**TEXT, "max": 9})
        clock.advance(KEPT - timedelta(seconds=1))
        assert found.describe(QUEUE) == DESCRIBED
        clock.advance(timedelta(seconds=1))
        assert found.describe(QUEUE) == replace(DESCRIBED, max_workers=9)
    assert requests["GetParameters"] == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({**TEXT, "version": 2})])
def test_a_description_of_another_version_is_refused(ecs: Ecs, text: str) -> None:
    name = workers_parameter("test", QUEUE)
    ecs.ssm.put_parameter(Name=name, Value=text or "-", Type="String")
    with pytest.raises(SettingsError, match=rf"SSM parameter {name} .*deploy again"):
        fleet().describe(QUEUE)


def service(**more: Any) -> dict[str, Any]:
    """A service as DescribeServices answers it."""
    return {
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 1,
        "pendingCount": 1,
        "deployments": [
            {"status": "ACTIVE", "rolloutState": "COMPLETED", "failedTasks": 9},
            {
                "status": "PRIMARY",
                "rolloutState": "IN_PROGRESS",
                "failedTasks": 4,
                "createdAt": NOON,
            },
        ],
        "events": [],
        **more,
    }


def test_failed_starts_and_rollout_are_those_of_the_current_deployment() -> None:
    status = _status(service())
    assert (status.failed_starts, status.rollout, status.blocked) == (4, Rollout.IN_PROGRESS, False)
    assert _status(service(deployments=[])) == FleetStatus(desired=2, running=1, pending=1)


@pytest.mark.parametrize("minutes", [1, -1])
def test_a_deployment_is_blocked_by_its_own_events_alone(minutes: int) -> None:
    event = {
        "createdAt": NOON + timedelta(minutes=minutes),
        "message": "(service workers) was unable to stop or start tasks during a deployment"
        " because of the service deployment configuration.",
    }
    status = _status(service(events=[event]))
    assert status.blocked is (minutes > 0)
    assert status.events[0].text == event["message"]


def test_a_stopped_worker_says_why() -> None:
    task = {
        "taskArn": "arn:aws:ecs:eu-central-1:123456789012:task/ours/0123",
        "stoppedAt": NOON,
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "startedAt": NOON - timedelta(minutes=1),
        "containers": [{"exitCode": 137, "reason": "OutOfMemoryError: killed"}],
    }
    stopped = _stopped(task)
    assert (stopped.id, stopped.code, stopped.exit_code) == (
        "0123", "EssentialContainerExited", 137,
    )  # fmt: skip
    assert stopped.at_ms == to_ms(NOON)
    assert stopped.started_at_ms == to_ms(NOON) - 60_000
    assert stopped.container_reason == "OutOfMemoryError: killed"
    never = _stopped({**task, "startedAt": None, "containers": []})
    assert (never.started_at_ms, never.exit_code, never.container_reason) == (None, None, None)


def test_a_fleet_in_memory_has_what_it_was_asked_for() -> None:
    found = MemoryFleet({QUEUE: DESCRIBED})
    found.set_desired(QUEUE, 2)
    assert found.status(QUEUE) == FleetStatus(desired=2, running=2, pending=0)
    assert found.describe(QUEUE) == DESCRIBED
    assert (found.status("other"), found.describe("other"), found.stopped("other")) == (
        None, None, (),
    )  # fmt: skip
    with pytest.raises(SettingsError, match="no workers were deployed for queue 'other'"):
        found.set_desired("other", 1)


def test_a_change_of_capacity_is_a_forced_deployment(ecs: Ecs) -> None:
    ecs.deploy()
    sent: list[Any] = []
    account = Account(session())
    found = EcsFleet(account, system="test", queues=(QUEUE,), clock=FakeClock())
    found._ecs.meta.events.register(
        "before-parameter-build.ecs.UpdateService", lambda params, **_: sent.append(dict(params))
    )

    found.set_capacity(QUEUE, (CapacityShare(provider="FARGATE", weight=1, base=2),))

    (request,) = sent
    assert request["capacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE", "weight": 1, "base": 2}
    ]
    assert request["forceNewDeployment"] is True
    assert "desiredCount" not in request


def test_a_status_says_where_new_workers_run_and_since_when() -> None:
    deployment = {
        "status": "PRIMARY",
        "createdAt": NOON,
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 70}],
    }

    status = _status(service(deployments=[deployment]))

    assert status.capacity == (CapacityShare(provider="FARGATE_SPOT", weight=70),)
    assert status.deployed_at_ms == to_ms(NOON)
