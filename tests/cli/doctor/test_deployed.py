"""What `remotejob doctor` says of stacks, workers, images and clocks that are not as they should.

What can be broken in an embedded system is in tests/permissions/test_doctor.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from remotejob.backends.memory import MemoryFleet
from remotejob.cli.doctor.deployed.clocks import check_clock
from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.deployed.inventory import DeployedStack, Inventory, Resource
from remotejob.cli.doctor.deployed.quotas import check_quotas
from remotejob.cli.doctor.deployed.stacks import check_stacks
from remotejob.cli.doctor.deployed.workers import (
    check_images,
    check_services,
    check_signs,
    check_versions,
)
from remotejob.cli.doctor.findings import Check, Finding, Severity, run_checks
from remotejob.domain.errors import AccessProblem
from remotejob.domain.fleet import CapacityShare, Rollout
from remotejob.names import Part
from remotejob.ports import WorkerSize
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.jobs.queries.why.causes import DESCRIBED, MINUTE, Scene, exited

MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
)


class Prepared(Context):
    """A context whose system was deployed like this."""

    inventory = Inventory()


@pytest.fixture
def scene(clock: FakeClock) -> Scene:
    installation = replace(memory_installation(clock), region="eu-west-1")
    return Scene(
        installation=installation, clock=clock, worker=Simulation(installation=installation)
    )


@pytest.fixture
def context(scene: Scene) -> Prepared:
    return Prepared(replace(scene.installation, fleet=scene.fleet))


def only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    assert one.remedy
    return one


def stack(status: str, **other: Any) -> Inventory:
    made: dict[str, Any] = {"reason": "", "changed_at": datetime.now(UTC), "resources": ()}
    made |= {"name": "remotejob-x-workers", "status": status, **other}
    return Inventory(stacks={Part.WORKERS: DeployedStack(**made)})


@pytest.mark.parametrize(
    ("status", "remedy", "severity"),
    [
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback", Severity.ERROR),
        ("ROLLBACK_COMPLETE", "delete the stack", Severity.ERROR),
        ("CREATE_FAILED", "delete the stack", Severity.ERROR),
        ("DELETE_FAILED", "describe-stack-events", Severity.ERROR),
        ("UPDATE_ROLLBACK_COMPLETE", "deploy again", Severity.WARNING),
    ],
)
def test_stack_that_failed_is_named(
    context: Prepared, status: str, remedy: str, severity: Severity
) -> None:
    context.inventory = stack(status, reason="a resource failed")

    found = only(check_stacks(context))

    assert found.place == "stack remotejob-x-workers"
    assert f"it is {status} (a resource failed)" in found.what
    assert remedy in found.remedy
    assert found.severity is severity


def test_stack_that_hangs_is_named(context: Prepared) -> None:
    context.inventory = stack("UPDATE_IN_PROGRESS")
    assert list(check_stacks(context)) == []

    context.inventory = stack(
        "UPDATE_IN_PROGRESS", changed_at=datetime.now(UTC) - timedelta(minutes=65)
    )
    assert "for 65 min" in only(check_stacks(context)).what


def test_missing_stack_is_named(context: Prepared) -> None:
    context.inventory = replace(stack("UPDATE_COMPLETE"), missing=("remotejob-x-functions",))

    assert only(check_stacks(context)).place == "stack remotejob-x-functions"


def test_a_system_without_stacks_of_its_own_is_said_to_be_unseen(context: Prepared) -> None:
    context.inventory = Inventory(missing=("remotejob-x-storage", "remotejob-x-workers"))

    found = only(check_stacks(context))

    assert found.severity is Severity.WARNING
    assert "could not check" in found.what


def test_workers_that_start_have_no_finding(context: Prepared, scene: Scene) -> None:
    scene.ecs(running=1)
    scene.live()

    assert [*check_services(context), *check_signs(context), *check_versions(context)] == []


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ({"blocked": True}, "a deployment waits"),
        ({"rollout": Rollout.FAILED}, "the last deployment failed"),
        ({"failed_starts": 3}, "3 workers of the current deployment failed to start"),
        ({"stopped": exited(137)}, "more memory than they have"),
    ],
)
def test_trouble_with_a_service_is_named(
    context: Prepared, scene: Scene, status: dict[str, Any], what: str
) -> None:
    scene.ecs(**status)

    found = only(check_services(context))

    assert found.place == "workers of queue default"
    assert what in found.what


def test_service_that_is_gone_or_never_was_is_named(context: Prepared, scene: Scene) -> None:
    scene.fleet._status.clear()
    assert "the ECS service service does not exist" in only(check_services(context)).what

    scene.fleet._described.clear()
    assert "no workers were deployed" in only(check_services(context)).what


def test_worker_that_cannot_work_is_named(context: Prepared, scene: Scene) -> None:
    scene.could_not_start()
    assert "it could not start" in only(check_signs(context)).what

    scene.clock.advance(MINUTE)
    presence = scene.live()
    presence.say_short("disk", "the disk of /tmp is full")
    presence.note_sent(scene.clock.now_ms() + 400_000)
    scene.again(presence)
    assert {one.what for one in check_signs(context)} == {
        "the disk of /tmp is full",
        "its clock is 400 s behind",
    }


def test_worker_of_another_version_is_named(context: Prepared, scene: Scene) -> None:
    presence = scene.live()
    presence._fixed["version"] = "0.0.1"
    scene.again(presence)

    found = only(check_versions(context))

    assert found.severity is Severity.WARNING
    assert "it has version 0.0.1 of remotejob" in found.what


@pytest.mark.parametrize(
    ("ahead", "named"),
    [(None, False), (timedelta(seconds=3), False), (timedelta(seconds=-90), True)],
)
def test_wrong_clock_is_named(scene: Scene, ahead: timedelta | None, named: bool) -> None:  # noqa: FBT001
    found = list(check_clock(Context(replace(scene.installation, clock_ahead=ahead))))

    assert [one.what.startswith("it is 90 s behind") for one in found] == ([True] if named else [])


@pytest.mark.parametrize("reference", [":abc", f"@sha256:{'0' * 64}"])
def test_image_that_is_gone_is_named(context: Prepared, reference: str) -> None:
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/assets{reference}"
    with mock_aws():
        ecs = boto3.client("ecs", region_name="eu-west-1")
        task = ecs.register_task_definition(
            family="worker",
            containerDefinitions=[{"name": "Worker", "image": image, "memory": 512}],
        )["taskDefinition"]["taskDefinitionArn"]
        context.inventory = stack(
            "CREATE_COMPLETE",
            resources=(
                Resource(
                    kind="AWS::ECS::TaskDefinition",
                    logical_id="Task",
                    physical_id=task,
                    properties={},
                ),
            ),
        )
        assert "ECR does not have it" in only(check_images(context)).what

        ecr = boto3.client("ecr", region_name="eu-west-1")
        ecr.create_repository(repositoryName="assets")
        assert "ECR does not have it" in only(check_images(context)).what

        if not reference.startswith("@"):
            ecr.put_image(repositoryName="assets", imageManifest=MANIFEST, imageTag=reference[1:])
            assert list(check_images(context)) == []


@pytest.mark.parametrize(("quota", "named"), [(16.0, False), (4.0, True)])
def test_quota_that_is_too_low_is_named(scene: Scene, quota: float, named: bool) -> None:  # noqa: FBT001
    size = WorkerSize(cpu=2048, memory_mib=4096, jobs=4)
    queue = replace(scene.installation.queues["default"], size=size)
    shares = (CapacityShare(provider="FARGATE_SPOT", weight=1),)
    fleet = MemoryFleet({"default": replace(DESCRIBED, capacity=shares)})

    class Quotas:
        def get_service_quota(self, **asked: str) -> dict[str, Any]:
            assert asked == {"ServiceCode": "fargate", "QuotaCode": "L-36FBB829"}
            return {"Quota": {"Value": quota}}

    context = Prepared(replace(scene.installation, queues={"default": queue}, fleet=fleet))
    context.client = lambda service: Quotas()  # type: ignore[method-assign]

    found = [one.what for one in check_quotas(context)]

    assert ["take 8 vCPU, and the region's quota is 4" in one for one in found] == [True] * named


def test_check_that_is_refused_says_so_and_the_others_go_on() -> None:
    def refused() -> list[Finding]:
        raise AccessProblem("AWS does not allow these credentials ecs:DescribeServices")

    def broken() -> Iterator[Finding]:
        yield Finding(place="a queue", what="it is broken", remedy="mend it")

    found = run_checks(
        [Check(subject="the workers", run=refused), Check(subject="the queues", run=broken)]
    )

    assert [one.severity for one in found] == [Severity.WARNING, Severity.ERROR]
    assert found[0].what.startswith("could not check the workers: AWS does not allow")
