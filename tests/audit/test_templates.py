"""`make templates`: our own rules on templates, and what is accepted of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.templates.check import main
from audit.templates.findings import Accepted, Found, accepted, judge
from audit.templates.rules import found_in

CONTAINER = {
    "Name": "worker",
    "User": "10001",
    "ReadonlyRootFilesystem": True,
    "LogConfiguration": {"LogDriver": "awslogs"},
    "Environment": [{"Name": "REMOTEJOB_SECRETS", "Value": "OCR_KEY"}],
}
LOGGED = {"LoggingConfig": {"LogGroup": {"Ref": "Log"}}}


def task(**changes: Any) -> dict[str, Any]:
    container = {**CONTAINER, **changes}
    return {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "ContainerDefinitions": [{k: v for k, v in container.items() if v is not None}]
        },
    }


def policy(action: Any, resource: Any = "arn:aws:sqs:::queue", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {"PolicyDocument": {"Statement": [statement]}},
    }


def function(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Lambda::Function", "Properties": properties}


def rules(resource: dict[str, Any], *, stage: str = "production") -> list[str]:
    return [one.rule for one in found_in({"Resources": {"It": resource}}, stage=stage)]


@pytest.mark.parametrize(
    "resource",
    [
        task(),
        policy(["sqs:SendMessage", "sqs:ReceiveMessage"]),
        policy("cloudwatch:PutMetricData", "*", Condition={"StringEquals": {"a": "b"}}),
        function(**LOGGED),
        {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"},
        {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
        {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}},
    ],
)
def test_sound_resource_is_left_alone(resource: dict[str, Any]) -> None:
    assert rules(resource) == []


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        (task(User=None), "OWN_ROOT"),
        (task(User="0:0"), "OWN_ROOT"),
        (task(ReadonlyRootFilesystem=False), "OWN_WRITABLE"),
        (task(ReadonlyRootFilesystem=None), "OWN_WRITABLE"),
        (task(Privileged=True), "OWN_PRIVILEGED"),
        (task(LogConfiguration=None), "OWN_LOGS"),
        (task(Environment=[{"Name": "DB_PASSWORD", "Value": "x"}]), "OWN_SECRET"),
        (task(Environment=[{"Name": "DB", "Value": "https://a:b@example.org"}]), "OWN_SECRET"),
        (function(), "OWN_LOGS"),
        (function(**LOGGED, Environment={"Variables": {"API_KEY": "x"}}), "OWN_SECRET"),
        ({"Type": "AWS::Logs::LogGroup", "Properties": {}}, "OWN_RETENTION"),
        (policy("sqs:*"), "OWN_ACTION"),
        (policy(["s3:Get*"]), "OWN_ACTION"),
        (policy("sqs:SendMessage", "*"), "OWN_RESOURCE"),
        (policy([], NotAction="iam:*"), "OWN_NOT"),
        (
            {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {"Statement": [{"Principal": {"AWS": "*"}}]}
                },
            },
            "OWN_TRUST",
        ),
        (
            {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {"SecurityGroupIngress": [{"CidrIp": "0.0.0.0/0"}]},
            },
            "OWN_INGRESS",
        ),
    ],
)
def test_unsound_resource_is_found(resource: dict[str, Any], rule: str) -> None:
    assert rules(resource) == [rule]


def test_what_holds_data_is_kept_in_production_only() -> None:
    table = {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Delete"}

    assert rules(table) == ["OWN_DELETED", "OWN_DELETED"]
    assert rules(table, stage="development") == []


FOUND = Found(rule="CKV_1", stage="production", resource="AWS::SQS::Queue.Lane", said="bad")


def test_finding_is_accepted_by_rule_and_resource() -> None:
    by_kind = Accepted(rule="CKV_1", resources="AWS::SQS::Queue.*", because="so")

    assert judge([FOUND], [by_kind]) == []
    assert judge([FOUND], []) == ["CKV_1: production: AWS::SQS::Queue.Lane: bad"]


@pytest.mark.parametrize(("rule", "resources"), [("CKV_2", "*"), ("CKV_1", "AWS::S3::Bucket.*")])
def test_entry_that_accepts_nothing_is_said(rule: str, resources: str) -> None:
    problems = judge([FOUND], [Accepted(rule=rule, resources=resources, because="so")])

    assert len(problems) == 2
    assert "which nothing finds" in problems[1]


def test_entry_without_a_reason_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text('[[accepted]]\nrule = "CKV_1"\nresources = "*"\nbecause = " "\n')

    with pytest.raises(ValueError, match="has no reason"):
        accepted(file)


def test_our_own_entries_have_reasons() -> None:
    assert accepted()


def test_folder_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there are no templates in"):
        main([str(tmp_path)])
