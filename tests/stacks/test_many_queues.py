"""A system of 50 queues fits into what AWS takes, and a queue comes and goes without the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from remotejob.names import Part, stack_name
from tests.stacks.conftest import SECOND_QUEUE, Synthesize
from tests.stacks.templates import ASSET_HASH, Resource, System, queue_named, texts

QUEUES: Final = 50

MOST_RESOURCES: Final = 500
MOST_OUTPUTS: Final = 200
MOST_PARAMETERS: Final = 200
MOST_BYTES: Final = 1_000_000
"""Source: AWS CloudFormation User Guide, "Understand CloudFormation quotas"."""

MANAGED_POLICY: Final = 6_144
INLINE_POLICIES: Final = 10_240
"""Characters, the latter of all of a role. Source: IAM User Guide, "IAM and AWS STS quotas"."""

ENVIRONMENT: Final = 4_096
"""Bytes. Source: AWS Lambda Developer Guide, "Lambda quotas"."""

ARN: Final = "arn:aws:dynamodb:ap-northeast-1:123456789012:"
SUFFIX: Final = "-ABCDEFGHIJKL"
"""As CloudFormation ends the names that it generates."""

PARTS: Final = tuple(Part)


def longest(value: Any, system: System) -> str:
    """A value as JSON, as long as it can be once CloudFormation has put in what it refers to."""

    def resolved(value: Any) -> Any:
        match value:
            case {"Fn::Join": [between, [*parts]]}:
                return between.join(map(resolved, parts))
            case {"Ref": name} if name.startswith("AWS::"):
                return "ap-northeast-1"
            case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
                return f"{ARN}{stack_name(system.name, Part.FUNCTIONS)}-{name}{SUFFIX}"
            case {"Fn::Sub": str(text)}:
                return text
            case {"Fn::ImportValue": str(name)}:
                # longer than the name in it
                return f"{ARN}{name}{SUFFIX}"
            case dict():
                return {key: resolved(inner) for key, inner in value.items()}
            case list():
                return [resolved(inner) for inner in value]
        return value

    return json.dumps(resolved(value), separators=(",", ":"))


def check_limits(system: System) -> None:
    for part in PARTS:
        template = system.template(part)
        assert len(template["Resources"]) <= MOST_RESOURCES, part
        assert len(template.get("Outputs", {})) <= MOST_OUTPUTS, part
        assert len(template.get("Parameters", {})) <= MOST_PARAMETERS, part
        assert len(json.dumps(template, separators=(",", ":"))) <= MOST_BYTES, part
    for policy in system.resources("AWS::IAM::ManagedPolicy"):
        assert len(longest(policy.properties["PolicyDocument"], system)) <= MANAGED_POLICY, (
            policy.id
        )
    for role in system.resources("AWS::IAM::Role"):
        assert len(longest(system.statements(role.id), system)) <= INLINE_POLICIES, role.id
    for function in system.resources("AWS::Lambda::Function"):
        assert len(longest(function.properties["Environment"], system)) <= ENVIRONMENT, function.id


@pytest.mark.exhaustive
def test_fifty_queues_with_long_names_and_many_tasks_fit(synthesize: Synthesize) -> None:
    tasks = json.dumps([f"a-rather-long-name-of-a-task-{number:02}" for number in range(20)])
    more = "\n".join(
        f"[queues.a-rather-long-queue-name-no-{number:02}]\ntasks = {tasks}\ndaily_jobs = 9\n"
        for number in range(QUEUES - 1)
    )
    name = "a-system-with-a-very-long-name-"
    system = synthesize(name=name, stage="production", more=more)

    assert len(system.resources("AWS::ECS::Service")) == QUEUES
    check_limits(system)


def test_as_many_queues_as_these_fit_fifty_times(system: System, synthesize: Synthesize) -> None:
    """The same, reckoned from one queue and two: what a queue adds is the same for each."""
    one = synthesize()
    for part in PARTS:
        for section, most in (
            ("Resources", MOST_RESOURCES),
            ("Outputs", MOST_OUTPUTS),
            ("Parameters", MOST_PARAMETERS),
        ):
            first, second = (len(it.template(part).get(section, {})) for it in (one, system))
            assert second + (QUEUES - 2) * (second - first) <= most, (part, section)
    check_limits(system)


def owned_by(system: System, queue: str) -> dict[str, Any]:
    """The resources of a queue, by stack and logical id."""
    return {
        f"{part}/{name}": body
        for part in PARTS
        for name, body in system.template(part)["Resources"].items()
        if name.startswith((f"Queues{queue}", f"Clusters{queue}", f"Descriptions{queue}"))
    }


def test_an_added_queue_touches_nothing_of_another(system: System, synthesize: Synthesize) -> None:
    before, after = synthesize(), system
    assert owned_by(before, "default") == owned_by(after, "default")
    kinds = {body["Type"] for body in owned_by(before, "default").values()}
    assert {"AWS::ECS::TaskDefinition", "AWS::ECS::Service", "AWS::SQS::Queue"} <= kinds
    for part in (Part.FUNCTIONS, Part.WORKERS):
        added = shared(after, part).keys() - shared(before, part).keys()
        assert not [name for name in added if "video" not in name.lower()], part


def test_a_changed_queue_touches_nothing_of_another(system: System, synthesize: Synthesize) -> None:
    changed = SECOND_QUEUE.replace('"probe"', '"probe", "cut"') + 'order = "fifo"\nretired = true\n'
    other = synthesize(more=changed)
    assert owned_by(system, "default") == owned_by(other, "default")
    assert owned_by(system, "video") != owned_by(other, "video")


def shared(system: System, part: Part) -> dict[str, Any]:
    template = json.loads(ASSET_HASH.sub("<asset>", json.dumps(system.template(part))))
    resources: dict[str, Any] = template["Resources"]
    return resources


def exports(system: System) -> Iterator[tuple[str, str]]:
    """What the stacks export, and of what it is."""
    for part in PARTS:
        for name, output in system.template(part).get("Outputs", {}).items():
            if "Export" in output:
                yield name, " ".join(texts(output["Value"]))


@pytest.mark.parametrize("stage", ["development", "production"])
def test_no_stack_is_kept_from_removing_a_queue(synthesize: Synthesize, stage: str) -> None:
    """CloudFormation refuses to remove an export in use, and the stack with the queues is deployed
    first. Source: AWS CloudFormation User Guide, "Get exported outputs"."""
    found = synthesize(stage=stage, more=SECOND_QUEUE)
    of_queues = {
        name
        for name, body in found.template(Part.STORAGE)["Resources"].items()
        if name.startswith(("Queues", "Descriptions")) and "Policy" not in body["Type"]
    }
    assert len(of_queues) == 2 * 9
    assert list(exports(found))
    assert [name for name, to in exports(found) if of_queues & set(to.split())] == []


@pytest.mark.parametrize("part", [Part.FUNCTIONS, Part.WORKERS])
def test_another_stack_reads_where_a_queue_is_when_it_is_deployed(
    system: System, part: Part
) -> None:
    parameters = system.template(part)["Parameters"]
    assert {one["Type"] for one in parameters.values()} == {"AWS::SSM::Parameter::Value<String>"}
    assert {one["Default"] for one in parameters.values()} == {
        "/remotejob/test/queues/default",
        "/remotejob/test/queues/video",
    }
    assert "remotejob-test-storage" in system.artifact(part)["dependencies"]


def test_lanes_outlive_their_queue_in_production(system: System, production: System) -> None:
    def kept(one: System) -> set[str]:
        queues = [queue for queue in one.resources("AWS::SQS::Queue") if queue_of(queue)]
        assert len(queues) == 2 * 8
        return {queue.body["DeletionPolicy"] for queue in queues}

    assert kept(system) == {"Delete"}
    assert kept(production) == {"Retain"}


def queue_of(resource: Resource) -> str | None:
    tags = {tag["Key"]: tag["Value"] for tag in resource.properties.get("Tags", [])}
    return tags.get("remotejob:queue")


def test_alarms_of_another_stack_name_the_queues_they_watch(system: System) -> None:
    """They read the names in the description of the queue."""
    watched = {
        (metric["Id"], name)
        for alarm in system.resources("AWS::CloudWatch::Alarm")
        for metric in alarm.properties.get("Metrics", [])
        for dimension in metric.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])
        if dimension["Name"] == "QueueName"
        and (name := queue_named(dimension["Value"], of=system)).startswith("Queues")
    }
    expected = {
        (metric, f"Queues{queue}{noun}")
        for queue in ("default", "video")
        for metric, noun in (
            ("high", "High"),
            ("normal", "Normal"),
            ("low", "Low"),
            ("pending", "DeadLetter"),
            ("completed", "CompletedDeadLetter"),
            ("failed", "FailedDeadLetter"),
        )
    }
    assert {(metric, name[:-8]) for metric, name in watched} == expected
