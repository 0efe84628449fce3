"""Where workers run: Spot beside on demand, and machines of a capacity provider by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remotejob.domain.errors import SettingsError
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System

SPOT = """
[queues.cheap]
tasks = ["x"]
spot_percent = 70
on_demand_base = 2
architecture = "arm64"
ephemeral_storage_gib = 50

[queues.gpu]
tasks = ["y"]
capacity_provider = "gpu-machines"
gpus = 1
"""


@pytest.fixture(scope="module")
def mixed(synthesize: Synthesize) -> System:
    return synthesize(more=f"{SPOT}\n[network]\nnat_gateways = 1\n")


def named(system: System, kind: str, name: str) -> dict[str, Any]:
    """The properties of the resource of a queue."""
    (found,) = (one for one in system.resources(kind) if f"Queues{name}" in one.id)
    return found.properties


def test_a_share_of_the_workers_runs_on_spot_beyond_the_base(mixed: System) -> None:
    service = named(mixed, "AWS::ECS::Service", "cheap")

    assert service["CapacityProviderStrategy"] == [
        {"Base": 2, "CapacityProvider": "FARGATE", "Weight": 30},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": 70},
    ]


def test_the_scheduler_knows_what_to_go_back_to(mixed: System) -> None:
    (parameter,) = (
        json.dumps(one.properties["Value"])
        for one in mixed.resources("AWS::SSM::Parameter")
        if one.id.startswith("Queuescheap")
    )

    assert r"[[\"FARGATE\",30,2],[\"FARGATE_SPOT\",70,0]]" in parameter


def test_clients_know_what_such_a_worker_costs(mixed: System) -> None:
    described = [
        json.dumps(one.properties["Value"]) for one in mixed.resources("AWS::SSM::Parameter")
    ]

    assert any(r"\"size\":[1024,2048,4,1,50,70]" in text for text in described)
    assert any(r"\"size\":[1024,2048,4]" in text for text in described)


def test_a_provider_by_name_gets_tasks_for_machines_with_gpus(mixed: System) -> None:
    service = named(mixed, "AWS::ECS::Service", "gpu")
    assert service["CapacityProviderStrategy"] == [
        {"CapacityProvider": "gpu-machines", "Weight": 1}
    ]
    assert "LaunchType" not in service
    assert "PlatformVersion" not in service
    task = named(mixed, "AWS::ECS::TaskDefinition", "gpu")
    assert task["RequiresCompatibilities"] == ["EC2", "MANAGED_INSTANCES"]
    assert task["ContainerDefinitions"][0]["ResourceRequirements"] == [
        {"Type": "GPU", "Value": "1"}
    ]
    fargate = named(mixed, "AWS::ECS::TaskDefinition", "cheap")
    assert fargate["RequiresCompatibilities"] == ["FARGATE"]


def test_the_cluster_of_such_a_queue_has_the_provider(mixed: System) -> None:
    found = [one.properties["CapacityProviders"] for one in mixed.resources("AWS::ECS::Cluster")]

    assert found.count(["gpu-machines"]) == 1
    assert found.count(["FARGATE", "FARGATE_SPOT"]) == 2


def test_machines_in_public_subnets_are_refused(synthesize: Synthesize) -> None:
    with pytest.raises(SettingsError, match=r"\[queues.gpu\]: capacity_provider = 'gpu-machines'"):
        synthesize(more=SPOT)
