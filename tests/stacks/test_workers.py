"""The network, the workers and how many of them there are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from remotejob.names import Env
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System, description, texts

TASK = "AWS::ECS::TaskDefinition"
SERVICE = "AWS::ECS::Service"
ALARM = "AWS::CloudWatch::Alarm"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"


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
        assert told[Env.CONCURRENCY] == "4"
        assert told[Env.PROCESSES] == "0"
        assert told[Env.TASKS] == "tasks"
        assert (told[Env.LOG_LEVEL], told[Env.METRICS]) == ("info", "on")


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
    providers = system.resources("AWS::ECS::ClusterCapacityProviderAssociations")
    for service in system.resources(SERVICE):
        waits = service.body["DependsOn"]
        assert needed <= set(waits)
        (own,) = (p for p in providers if p.properties["Cluster"] == service.properties["Cluster"])
        assert own.id in waits
        assert [name for name in waits if "AgentRoleDefaultPolicy" in name]


def scaling(system: System, adjustment: str, *, wakes: bool = False) -> tuple[Resource, Resource]:
    """The alarm and the policy of queue `default` that adjust so."""
    pairs = [
        (alarm, policy)
        for alarm in system.resources(ALARM)
        for policy in system.resources(POLICY)
        if alarm.properties["AlarmActions"] == [{"Ref": policy.id}]
        and policy.properties["StepScalingPolicyConfiguration"]["AdjustmentType"] == adjustment
        and wakes == (expression(alarm).startswith("IF("))
    ]
    return pairs[0]


def expression(alarm: Resource) -> str:
    (found,) = [m["Expression"] for m in alarm.properties["Metrics"] if "Expression" in m]
    return str(found)


def measured(alarm: Resource) -> dict[str, int]:
    """How many metrics of each name the alarm reads, each by the minute."""
    names = [m["MetricStat"] for m in alarm.properties["Metrics"] if "MetricStat" in m]
    assert {stat["Period"] for stat in names} == {60}
    counted: dict[str, int] = {}
    for stat in names:
        name = stat["Metric"]["MetricName"]
        counted[name] = counted.get(name, 0) + 1
    return counted


VISIBLE = "ApproximateNumberOfMessagesVisible"
IN_FLIGHT = "ApproximateNumberOfMessagesNotVisible"


def test_workers_scale_between_none_and_the_most(system: System) -> None:
    for target in system.resources("AWS::ApplicationAutoScaling::ScalableTarget"):
        assert target.properties["MinCapacity"] == 0
        assert target.properties["MaxCapacity"] == 10
        assert target.properties["ScalableDimension"] == "ecs:service:DesiredCount"
    scaling_alarms = [one for one in system.resources(ALARM) if one.properties["AlarmActions"]]
    assert len(scaling_alarms) == 2 * 3


def test_anything_visible_in_any_lane_wakes_from_none(system: System) -> None:
    alarm, policy = scaling(system, "ChangeInCapacity", wakes=True)
    assert measured(alarm) == {VISIBLE: 3, "DesiredTaskCount": 1}
    assert alarm.properties["EvaluationPeriods"] == 1
    assert alarm.properties["Threshold"] == 1
    assert alarm.properties["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    (step,) = policy.properties["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert step == {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}


def test_workers_grow_by_what_is_visible_and_in_flight(system: System) -> None:
    alarm, policy = scaling(system, "ChangeInCapacity")
    assert measured(alarm) == {VISIBLE: 3, IN_FLIGHT: 3, "DesiredTaskCount": 1}
    assert re.fullmatch(r"CEIL\(\(.*\) / 4\) - FILL\(.*workers.*\)", expression(alarm))
    steps = policy.properties["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert [step["ScalingAdjustment"] for step in steps] == [1, 2, 4, 8]
    assert [step["MetricIntervalLowerBound"] for step in steps] == [0, 1, 3, 7]
    assert [step.get("MetricIntervalUpperBound") for step in steps] == [1, 3, 7, None]


def test_no_step_adds_more_workers_than_are_missing(system: System) -> None:
    _, policy = scaling(system, "ChangeInCapacity")
    for step in policy.properties["StepScalingPolicyConfiguration"]["StepAdjustments"]:
        missing = 1 + step["MetricIntervalLowerBound"]
        assert step["ScalingAdjustment"] <= missing


def test_workers_stop_only_after_minutes_with_nothing_visible_or_in_flight(
    system: System,
) -> None:
    alarm, policy = scaling(system, "ExactCapacity")
    assert measured(alarm) == {VISIBLE: 3, IN_FLIGHT: 3}
    # No assumption about a missing metric: not knowing is no reason to stop anybody.
    assert "FILL" not in expression(alarm)
    assert alarm.properties["TreatMissingData"] == "notBreaching"
    assert alarm.properties["EvaluationPeriods"] == alarm.properties["DatapointsToAlarm"] == 5
    assert alarm.properties["Threshold"] == 0
    assert alarm.properties["ComparisonOperator"] == "LessThanOrEqualToThreshold"
    (step,) = policy.properties["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert step == {"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}


def test_nothing_else_ever_lowers_the_number_of_workers(system: System) -> None:
    for policy in system.resources(POLICY):
        assert policy.properties["PolicyType"] == "StepScaling"
        steps = policy.properties["StepScalingPolicyConfiguration"]
        if steps["AdjustmentType"] != "ExactCapacity":
            assert all(step["ScalingAdjustment"] > 0 for step in steps["StepAdjustments"])
    exact = [alarm for alarm in system.resources(ALARM) if "FILL" not in expression(alarm)]
    assert len(exact) == 2


def test_scaling_reads_a_metric_that_the_cluster_reports(system: System) -> None:
    clusters = system.resources("AWS::ECS::Cluster")
    assert len(clusters) == len(system.resources(SERVICE))
    for cluster in clusters:
        assert cluster.properties["ClusterSettings"] == [
            {"Name": "containerInsights", "Value": "enabled"}
        ]


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


def test_worker_of_several_processes_counts_the_jobs_of_all(synthesize: Synthesize) -> None:
    more = '[queues.crashing]\ntasks = ["crash"]\nconcurrency = 5\nprocesses = 3\n'
    system = synthesize(more=more)
    (told,) = (
        told for c in containers(system) if (told := environment(c))[Env.QUEUE] == "crashing"
    )
    assert (told[Env.PROCESSES], told[Env.CONCURRENCY]) == ("3", "5")
    alarms = [expression(alarm) for alarm in system.resources("AWS::CloudWatch::Alarm")]
    assert any("/ 15)" in text for text in alarms)


@pytest.mark.parametrize(
    ("most", "steps"), [(1, [1]), (3, [1, 2]), (100, [1, 2, 4, 8, 16, 32, 64])]
)
def test_scaling_follows_the_settings(synthesize: Synthesize, most: int, steps: list[int]) -> None:
    system = synthesize(max_workers=most, concurrency=7)
    (target,) = system.resources("AWS::ApplicationAutoScaling::ScalableTarget")
    assert target.properties["MaxCapacity"] == most
    alarm, policy = scaling(system, "ChangeInCapacity")
    assert "/ 7)" in expression(alarm)
    adjustments = policy.properties["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert [step["ScalingAdjustment"] for step in adjustments] == steps


BUDGETED = """
[queues.dear]
tasks = ["render"]
daily_jobs = 1000
daily_dollars = 12.5
"""


def test_a_queue_over_its_budget_is_scaled_in_and_raises_an_alarm(synthesize: Synthesize) -> None:
    alarms = {
        alarm.id: expression(alarm)
        for alarm in synthesize(more=BUDGETED).resources(ALARM)
        if "Paused" in json.dumps(alarm.properties)
    }
    paused = "FILL(FILL(paused, REPEAT), 0)"
    wake, grow, idle, told = (
        next(alarms[name] for name in alarms if kind in name)
        for kind in ("WakeAlarm", "GrowAlarm", "IdleAlarm", "PausedAlarm")
    )
    assert len(alarms) == 4
    assert wake.startswith(f"IF({paused} > 0, 0, IF(")
    assert grow.startswith(f"IF({paused} > 0, 0, CEIL(")
    assert re.fullmatch(rf"IF\({re.escape(paused)} > 0, 0, visible.*\) \+ flying.*", idle)
    assert told == paused


def test_a_queue_without_a_budget_reads_no_such_metric(system: System) -> None:
    assert not any("Paused" in json.dumps(one.properties) for one in system.resources(ALARM))
