"""What who runs a system asks of its templates: tags, trust, retention, warm throughput, keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from remotejob.cdk import RemoteJobApp, RemoteJobSystem
from remotejob.domain.errors import SettingsError
from stacks.system import ROOT
from tests.stacks.conftest import DEFAULTS, SETTINGS, Synthesize
from tests.stacks.own_apps import IMAGE, PROJECT
from tests.stacks.templates import System, texts

KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
SYSTEM = f"""
output_retention_days = 90
write_once_outputs = true
warm_read_units = 20000
warm_write_units = 10000
encryption_key = "{KEY}"
base_registry = "public.ecr.aws/docker/library"
tags = {{ cost-centre = "4711" }}
"""


@pytest.fixture(scope="module")
def operated(synthesize: Synthesize) -> System:
    return synthesize(system=SYSTEM)


def tags(properties: dict[str, Any]) -> dict[str, str]:
    found = properties.get("Tags", [])
    if isinstance(found, dict):
        return found
    return {one["Key"]: one["Value"] for one in found}


TAGGED = (
    "AWS::DynamoDB::Table",
    "AWS::EC2::VPC",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
)


@pytest.mark.parametrize("kind", TAGGED)
def test_everything_has_the_tags_of_the_settings(operated: System, kind: str) -> None:
    found = operated.resources(kind)

    assert found
    assert all(tags(one.properties).get("cost-centre") == "4711" for one in found)


def test_tasks_get_the_tags_of_their_service_which_names_the_queue(system: System) -> None:
    queues = set()
    for service in system.resources("AWS::ECS::Service"):
        assert service.properties["PropagateTags"] == "SERVICE"
        assert service.properties["EnableECSManagedTags"] is True
        queues.add(tags(service.properties)["remotejob-queue"])

    assert queues == {"default", "video"}


def trust(system: System) -> dict[str, dict[str, Any]]:
    """The conditions by the services that may assume a role."""
    return {
        statement["Principal"]["Service"]: statement.get("Condition", {})
        for role in system.resources("AWS::IAM::Role")
        for statement in role.properties["AssumeRolePolicyDocument"]["Statement"]
    }


@pytest.mark.parametrize(
    ("service", "arn"),
    [
        ("ecs-tasks.amazonaws.com", ":ecs:<AWS::Region>:<AWS::AccountId>:*"),
        ("vpc-flow-logs.amazonaws.com", ":ec2:<AWS::Region>:<AWS::AccountId>:vpc-flow-log/*"),
    ],
)
def test_a_service_assumes_a_role_for_this_account_alone(
    system: System, service: str, arn: str
) -> None:
    condition = trust(system)[service]

    assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    parts = condition["ArnLike"]["aws:SourceArn"]["Fn::Join"][1]
    shown = "".join(one if isinstance(one, str) else f"<{one['Ref']}>" for one in parts)
    assert shown == f"arn:<AWS::Partition>{arn}"


def build_arguments(system: System) -> list[Any]:
    assets = json.loads(
        (system.folder / f"remotejob-{system.name}-workers.assets.json").read_text()
    )
    return [one["source"].get("dockerBuildArgs") for one in assets["dockerImages"].values()]


def test_the_base_image_comes_from_the_registry_of_the_settings(
    operated: System, system: System
) -> None:
    assert build_arguments(operated) == [{"REGISTRY": "public.ecr.aws/docker/library"}]
    assert build_arguments(system) == [None]


@pytest.mark.parametrize(
    "file",
    [
        "worker_container/Dockerfile",
        "remotejob/cli/init/project/worker_container/Dockerfile",
    ],
)
def test_each_stage_of_the_image_takes_the_registry_and_keeps_the_digest(file: str) -> None:
    text = (ROOT / file).read_text()
    bases = re.findall(r"^FROM (.*?)(?: AS \w+)?$", text, re.MULTILINE)

    assert text.index("\nARG REGISTRY=docker.io/library\n") < text.index("\nFROM ")
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"\$\{REGISTRY\}/python:[\w.-]+@sha256:[0-9a-f]{64}", base)


def test_workers_write_outputs_once_if_the_settings_say_so(
    operated: System, system: System
) -> None:
    for found, value in ((operated, "on"), (system, None)):
        for task in found.resources("AWS::ECS::TaskDefinition"):
            container = task.properties["ContainerDefinitions"][0]
            variables = {one["Name"]: one["Value"] for one in container["Environment"]}
            assert variables.get("REMOTEJOB_WRITE_ONCE_OUTPUTS") == value


def test_outputs_go_after_their_retention(operated: System) -> None:
    rules = [
        rule
        for bucket in operated.resources("AWS::S3::Bucket")
        for rule in bucket.properties["LifecycleConfiguration"]["Rules"]
        if rule.get("Id") == "outputs"
    ]

    assert [rule["ExpirationInDays"] for rule in rules] == [90]


def test_table_and_index_are_warm(operated: System) -> None:
    table = operated.resource("AWS::DynamoDB::Table").properties
    warm = {"ReadUnitsPerSecond": 20000, "WriteUnitsPerSecond": 10000}

    assert table["WarmThroughput"] == warm
    assert table["GlobalSecondaryIndexes"][0]["WarmThroughput"] == warm


def test_the_key_of_the_settings_is_the_tables_the_queues_and_the_buckets(operated: System) -> None:
    table = operated.resource("AWS::DynamoDB::Table").properties
    assert table["SSESpecification"]["KMSMasterKeyId"] == KEY
    for queue in operated.resources("AWS::SQS::Queue"):
        assert queue.properties["KmsMasterKeyId"] == KEY


@pytest.fixture(scope="module")
def with_own_key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The resources of one stack that holds a system and its key."""
    folder, code = tmp_path_factory.mktemp("key"), tmp_path_factory.mktemp("code")
    (code / "code.py").write_text("")
    app = RemoteJobApp(PROJECT, outdir=folder)
    stack = cdk.Stack(app, "all")
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("remotejob.cdk.functions_part.bundle", lambda *_, **__: code)
        RemoteJobSystem(stack, "One", settings=app.settings, worker=IMAGE, encryption_key=key)
        app.synth()
    template = json.loads((folder / "all.template.json").read_text())
    found: dict[str, dict[str, Any]] = template["Resources"]
    return found


def test_a_key_in_the_same_stack_makes_no_cycle(with_own_key: dict[str, dict[str, Any]]) -> None:
    """CloudFormation refuses one, and the CDK only warns."""
    needs = {
        name: {text for text in texts(_references(body)) if text in with_own_key} - {name}
        for name, body in with_own_key.items()
    }
    made: set[str] = set()
    while free := {name for name, needed in needs.items() if name not in made and needed <= made}:
        made |= free

    assert set(needs) - made == set()


def test_only_the_systems_own_rule_sends_to_an_encrypted_queue(
    with_own_key: dict[str, dict[str, Any]],
) -> None:
    allowed = [
        statement
        for body in with_own_key.values()
        if body["Type"] == "AWS::SQS::QueuePolicy"
        for statement in body["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]

    assert allowed
    for statement in allowed:
        assert "Rule" in json.dumps(statement["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_eventbridge_uses_the_key_for_this_account_alone(
    with_own_key: dict[str, dict[str, Any]],
) -> None:
    (key,) = (body for body in with_own_key.values() if body["Type"] == "AWS::KMS::Key")
    (statement,) = (
        one
        for one in key["Properties"]["KeyPolicy"]["Statement"]
        if one["Principal"].get("Service") == "events.amazonaws.com"
    )

    assert set(statement["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:SourceAccount": {"Ref": "AWS::AccountId"}
    }


@pytest.mark.parametrize(
    ("line", "brought"),
    [
        (f'encryption_key = "{KEY}"', "encryption_key"),
        ("output_retention_days = 30", "output_bucket"),
    ],
)
def test_app_and_settings_do_not_both_say_it(tmp_path: Path, line: str, brought: str) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    stack = cdk.Stack(app, "all")
    what: dict[str, Any] = {
        "encryption_key": kms.Key.from_key_arn(stack, "Key", KEY),
        "output_bucket": s3.Bucket.from_bucket_name(stack, "Bucket", "ours"),
    }
    settings = tmp_path / "settings.toml"
    text = SETTINGS.format(**{**DEFAULTS, "system": line})
    settings.write_text(text)

    with pytest.raises(SettingsError, match=r"^\[system\]: .*the app"):
        RemoteJobSystem(stack, "One", settings=settings, worker=IMAGE, **{brought: what[brought]})


def _references(value: Any) -> list[str]:
    """Logical ids that a resource needs: what it refers to, and what it waits for."""
    if isinstance(value, dict):
        here = [value["Ref"]] if isinstance(value.get("Ref"), str) else []
        if "Fn::GetAtt" in value:
            here.append(value["Fn::GetAtt"][0])
        waits = value.get("DependsOn", [])
        here += waits if isinstance(waits, list) else [waits]
        return here + [one for inner in value.values() for one in _references(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _references(inner)]
    return []
