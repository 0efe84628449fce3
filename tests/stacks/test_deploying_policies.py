"""The policies in `docs/policies`: enough for what the templates hold, and no more."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import pytest

from tests.stacks.conftest import Synthesize
from tests.stacks.templates import System, as_list

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs/policies"
ROOM: Final = 6144
"""Source: IAM User Guide, "IAM and AWS STS quotas": characters of a managed policy, without spaces.
"""
ACTION_PREFIXES: Final = {
    "ApplicationAutoScaling": "application-autoscaling",
    "CloudWatch": "cloudwatch",
    "DynamoDB": "dynamodb",
    "EC2": "ec2",
    "ECS": "ecs",
    "Events": "events",
    "IAM": "iam",
    "Lambda": "lambda",
    "Logs": "logs",
    "S3": "s3",
    "SNS": "sns",
    "SQS": "sqs",
    "SSM": "ssm",
}
"""The prefix of a service's actions, by its name in the types of resources."""
CREATES: Final = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "RegisterScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "PutScalingPolicy",
    "AWS::CloudWatch::Alarm": "PutMetricAlarm",
    "AWS::EC2::EIP": "AllocateAddress",
    "AWS::EC2::FlowLog": "CreateFlowLogs",
    "AWS::EC2::SecurityGroupIngress": "AuthorizeSecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation": "AssociateRouteTable",
    "AWS::EC2::VPC": "CreateVpc",
    "AWS::EC2::VPCEndpoint": "CreateVpcEndpoint",
    "AWS::EC2::VPCGatewayAttachment": "AttachInternetGateway",
    "AWS::ECS::ClusterCapacityProviderAssociations": "PutClusterCapacityProviders",
    "AWS::ECS::TaskDefinition": "RegisterTaskDefinition",
    "AWS::Events::Rule": "PutRule",
    "AWS::IAM::ManagedPolicy": "CreatePolicy",
    "AWS::IAM::Policy": "PutRolePolicy",
    "AWS::Lambda::EventInvokeConfig": "PutFunctionEventInvokeConfig",
    "AWS::Lambda::Permission": "AddPermission",
    "AWS::S3::BucketPolicy": "PutBucketPolicy",
    "AWS::SNS::TopicPolicy": "SetTopicAttributes",
    "AWS::SQS::QueuePolicy": "SetQueueAttributes",
    "AWS::SSM::Parameter": "PutParameter",
}
"""What makes a resource, where that is not `Create` and its name."""


def policy(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def allowing(name: str, action: str) -> list[str]:
    """The resources on which a policy allows an action."""
    return [
        resource
        for statement in policy(name)["Statement"]
        if any(fnmatchcase(action, pattern) for pattern in as_list(statement["Action"]))
        for resource in as_list(statement["Resource"])
    ]


def creation(kind: str) -> str:
    _aws, service, name = kind.split("::")
    return f"{ACTION_PREFIXES[service]}:{CREATES.get(kind, f'Create{name}')}"


@pytest.mark.parametrize("stage", ["development", "production"])
def test_cloudformation_may_make_every_resource(synthesize: Synthesize, stage: str) -> None:
    system = synthesize(stage=stage)
    kinds = {resource.type for resource in system.resources()}

    refused = {
        kind: creation(kind)
        for kind in kinds
        if not allowing("cloudformation-execution", creation(kind))
    }

    assert refused == {}


def test_names_that_cloudformation_generates_are_ours(system: System) -> None:
    """It begins them with the stack's, so what the policy names is what the stacks make."""
    named = [
        resource
        for statement in policy("cloudformation-execution")["Statement"]
        if statement["Sid"] in ("OwnResources", "Roles", "GiveRolesToServices")
        for resource in as_list(statement["Resource"])
    ]
    assert named
    for resource in named:
        ours = resource.partition("remotejob")[2]
        assert ours in ("-*", "*", "/*"), resource
    families = [task.properties["Family"] for task in system.resources("AWS::ECS::TaskDefinition")]
    assert all(family.startswith("remotejob") for family in families)


def test_it_is_no_administrator() -> None:
    for statement in policy("cloudformation-execution")["Statement"]:
        for action in as_list(statement["Action"]):
            service, _, verb = action.partition(":")
            assert service != "*"
            if verb == "*" and statement["Resource"] == "*":
                assert service == "application-autoscaling"
    assert allowing("cloudformation-execution", "iam:CreateUser") == []
    assert allowing("cloudformation-execution", "iam:AttachUserPolicy") == []
    roles = allowing("cloudformation-execution", "iam:PassRole")
    assert roles == ["arn:aws:iam::*:role/remotejob-*"]


@pytest.mark.parametrize("name", ["cloudformation-execution", "deployer"])
def test_a_managed_policy_has_room_for_it(name: str) -> None:
    assert len(json.dumps(policy(name), separators=(",", ":"))) < ROOM


def test_a_deployer_reads_and_takes_the_bootstraps_roles() -> None:
    verbs = {
        action.partition(":")[2]
        for statement in policy("deployer")["Statement"]
        for action in as_list(statement["Action"])
    }
    assert {verb for verb in verbs if not verb.startswith(("Describe", "Get", "List"))} == {
        "AssumeRole"
    }
