"""The network, the workers and how many of them there are."""

from __future__ import annotations

import json
import re
from typing import Any

from remotejob.names import Env
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System, description, texts

TASK = "AWS::ECS::TaskDefinition"
SERVICE = "AWS::ECS::Service"


def containers(system: System) -> list[dict[str, Any]]:
    return [c for task in system.resources(TASK) for c in task.properties["ContainerDefinitions"]]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def test_nothing_comes_in(system: System) -> None:
    (group,) = system.resources("AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group.properties
    assert not system.resources("AWS::EC2::SecurityGroupIngress")
    for service in system.resources(SERVICE):
        network = service.properties["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["SecurityGroups"] == [{"Fn::GetAtt": [group.id, "GroupId"]}]
        assert network["AssignPublicIp"] == "ENABLED"
        assert service.properties["EnableExecuteCommand"] is False


def test_nothing_in_the_network_costs_by_the_hour(system: System) -> None:
    assert not system.resources("AWS::EC2::NatGateway")
    endpoints = system.resources("AWS::EC2::VPCEndpoint")
    assert {e.properties["VpcEndpointType"] for e in endpoints} == {"Gateway"}
    services = {list(texts(e.properties["ServiceName"]))[-1] for e in endpoints}
    assert services == {".s3", ".dynamodb"}
    subnets = {s.id for s in system.resources("AWS::EC2::Subnet")}
    assert len(subnets) == 2


def test_the_network_is_logged(system: System) -> None:
    (log,) = system.resources("AWS::EC2::FlowLog")
    assert log.properties["TrafficType"] == "ALL"
    assert log.properties["ResourceType"] == "VPC"


def test_the_templates_name_no_account_region_or_zone(system: System) -> None:
    for part in ("storage", "functions", "workers"):
        for text in texts(system.template(part)):
            assert not re.search(r"\b\d{12}\b|\b[a-z]{2}-[a-z]+-\d[a-z]?\b|dummy", text), text


def test_every_queue_has_a_service(system: System) -> None:
    assert len(system.resources(SERVICE)) == 2
    queues = {environment(c)[Env.QUEUE] for c in containers(system)}
    assert queues == {"default", "video"}


def test_a_workers_environment_names_its_queue_and_how_to_serve_it(system: System) -> None:
    for container in containers(system):
        told = environment(container)
        assert set(told) == {
            Env.SYSTEM, Env.QUEUE, Env.CONCURRENCY, Env.PROCESSES, Env.TASKS, Env.LOG_LEVEL,
            Env.METRICS,
        }  # fmt: skip
        described = json.dumps(told[Env.SYSTEM]).replace("\\", "")
        assert f'"queues":{{"{told[Env.QUEUE]}":' in described
        assert told[Env.CONCURRENCY] == "4"
        assert told[Env.PROCESSES] == "0"
        assert told[Env.TASKS] == "tasks"
        assert (told[Env.LOG_LEVEL], told[Env.METRICS]) == ("info", "on")
    served = [environment(container)[Env.QUEUE] for container in containers(system)]
    assert sorted(served) == ["default", "video"]


def test_a_worker_is_not_root_and_writes_to_tmp_only(system: System) -> None:
    for task in system.resources(TASK):
        (container,) = task.properties["ContainerDefinitions"]
        assert container["User"].split(":")[0] not in {"", "0", "root"}
        assert container["ReadonlyRootFilesystem"] is True
        assert container.get("Privileged") in {None, False}
        (volume,) = task.properties["Volumes"]
        assert container["MountPoints"] == [
            {"ContainerPath": "/tmp", "ReadOnly": False, "SourceVolume": volume["Name"]}
        ]
        assert container["LinuxParameters"] == {
            "Capabilities": {"Drop": ["ALL"]},
            "InitProcessEnabled": True,
        }


def test_a_worker_may_take_two_minutes_to_let_go(system: System) -> None:
    for container in containers(system):
        assert container["StopTimeout"] == 120


def test_a_worker_is_asked_how_it_is(system: System) -> None:
    for container in containers(system):
        assert container["HealthCheck"]["Command"] == [
            "CMD",
            "python",
            "-m",
            "remotejob.container.health",
        ]


def test_no_secret_is_in_an_environment_variable(system: System) -> None:
    """Values are names, URLs and numbers; and no name sounds like more."""
    functions = system.resources("AWS::Lambda::Function")
    told = [f.properties["Environment"]["Variables"] for f in functions]
    told += [environment(c) for c in containers(system)]
    for variables in told:
        for name, value in variables.items():
            assert name.startswith("REMOTEJOB_")
            for text in [name, *texts(value)]:
                assert not re.search(r"(?i)secret|password|token|credential|AKIA", text)
                assert "{{resolve:" not in text


def test_workers_have_the_size_of_the_settings(system: System) -> None:
    sizes = {(t.properties["Cpu"], t.properties["Memory"]) for t in system.resources(TASK)}
    assert sizes == {("1024", "2048"), ("4096", "16384")}


def test_image_and_service_agree_on_the_processor(system: System) -> None:
    for task in system.resources(TASK):
        assert task.properties["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    assert (
        '"platform": "linux/amd64"'
        in (system.folder / "remotejob-test-workers.assets.json").read_text()
    )


def test_a_deployment_does_not_stop_workers_before_it_has_new_ones(system: System) -> None:
    for service in system.resources(SERVICE):
        # A count here would be set again at each deployment, over the heads of busy workers.
        assert "DesiredCount" not in service.properties
        assert service.properties["AvailabilityZoneRebalancing"] == "DISABLED"
        assert service.properties["DeploymentConfiguration"] == {
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
            "MinimumHealthyPercent": 100,
            "MaximumPercent": 200,
        }
        assert service.properties["CapacityProviderStrategy"] == [
            {"CapacityProvider": "FARGATE", "Weight": 1}
        ]


def test_a_service_waits_for_what_its_first_worker_needs(system: System) -> None:
    needed = {r.id for r in system.resources() if r.type == "AWS::EC2::Route"}
    for service in system.resources(SERVICE):
        waits = service.body["DependsOn"]
        assert needed <= set(waits)
        assert [name for name in waits if "AgentRoleDefaultPolicy" in name]


def test_nothing_but_the_scheduler_sets_the_number_of_workers(system: System) -> None:
    assert not [one for one in system.resources() if "AutoScaling" in one.type]
    for service in system.resources(SERVICE):
        assert "DesiredCount" not in service.properties
    # it would cost by the task, and nothing reads it
    for cluster in system.resources("AWS::ECS::Cluster"):
        assert "ClusterSettings" not in cluster.properties


def test_each_queue_has_a_cluster_of_its_own(system: System) -> None:
    """Only the ARN of the cluster tells IAM whose task a worker may protect."""
    used = [json.dumps(service.properties["Cluster"]) for service in system.resources(SERVICE)]
    assert len(set(used)) == len(used) == 2


def test_the_scheduler_finds_each_queues_workers_and_how_many_there_may_be(
    synthesize: Synthesize,
) -> None:
    more = (
        '[queues.warm]\ntasks = ["go"]\nconcurrency = 5\nprocesses = 3\n'
        "min_workers = 2\nidle_minutes = 9\n"
    )
    system = synthesize(more=more)
    written = {
        name: description(one.properties["Value"], of=system)
        for one in system.resources("AWS::SSM::Parameter")
        if "/workers/" in (name := one.properties["Name"])
    }
    assert set(written) == {"/remotejob/test/workers/default", "/remotejob/test/workers/warm"}
    warm = written["/remotejob/test/workers/warm"]
    assert re.fullmatch(r"<Clusterswarm[0-9A-F]{8}>", warm.pop("cluster"))
    assert re.fullmatch(r"<QueueswarmService[0-9A-F]{8}\.Name>", warm.pop("service"))
    assert warm == {
        "version": 1,
        "min": 2,
        "max": 10,
        "jobs": 15,
        "idle_minutes": 9,
        "capacity": [["FARGATE", 1, 0]],
    }


def test_a_queue_says_how_its_workers_log_and_whether_they_write_metrics(
    synthesize: Synthesize,
) -> None:
    more = '[queues.quiet]\ntasks = ["hush"]\nlog_level = "error"\nmetrics = false\n'
    told = {environment(c)[Env.QUEUE]: environment(c) for c in containers(synthesize(more=more))}

    assert (told["quiet"][Env.LOG_LEVEL], told["quiet"][Env.METRICS]) == ("error", "off")
    assert (told["default"][Env.LOG_LEVEL], told["default"][Env.METRICS]) == ("info", "on")


CRASHING = """
[queues.crashing]
tasks = ["crash"]
concurrency = 5
processes = 3
tasks_module = "tasks.crashing"
"""


def told_of_crashing(system: System) -> dict[str, Any]:
    (told,) = (
        told for c in containers(system) if (told := environment(c))[Env.QUEUE] == "crashing"
    )
    return told


def test_worker_is_told_its_processes_and_the_concurrency_of_each(synthesize: Synthesize) -> None:
    told = told_of_crashing(synthesize(more=CRASHING))
    assert (told[Env.PROCESSES], told[Env.CONCURRENCY]) == ("3", "5")


def test_worker_is_told_the_tasks_module_of_its_queue(synthesize: Synthesize) -> None:
    assert told_of_crashing(synthesize(more=CRASHING))[Env.TASKS] == "tasks.crashing"
