"""A policy for people who run `remotejob why` and `remotejob doctor`: it reads what was deployed.

The groups' policies are in the storage stack, which knows neither functions nor workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import aws_cdk as cdk
from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct, IConstruct

from remotejob.cdk.checks import acknowledge, acknowledge_arn
from remotejob.cdk.permissions import allow
from remotejob.names import system_parameter

_READS: Final = {
    "cloudformation": ("DescribeStacks", "GetTemplate", "ListStackResources"),
    "dynamodb": ("DescribeContinuousBackups", "DescribeTable", "DescribeTimeToLive"),
    "events": ("DescribeRule", "ListTargetsByRule"),
    "iam": ("GetRole", "GetRolePolicy", "ListRolePolicies", "SimulatePrincipalPolicy"),
    "lambda": ("GetFunctionConfiguration",),
    "s3": ("GetBucketNotification",),
    "sqs": ("GetQueueAttributes",),
    "ssm": ("GetParameter", "GetParameters", "GetParametersByPath"),
}
"""What is read of resources that are named after their stack, by service."""

_ANYWHERE: Final = (
    ("ecr", "DescribeImages"),
    ("ecs", "DescribeTaskDefinition"),
    ("ecs", "ListTasks"),
    ("lambda", "GetEventSourceMapping"),
    ("servicequotas", "GetServiceQuota"),
)
"""Calls on resources whose names are not known beforehand, or that have none."""

_WHY: Final = (
    "It only reads, and CloudFormation generates the names of what it reads, each after its stack"
)


def add_doctor_policy(
    scope: Construct, *, system: str, cluster: ecs.ICluster | None, of: Iterable[IConstruct]
) -> None:
    """Make the policy, and an output of the stack that names it.

    cluster: one that is not the system's, for all its workers; of: a construct of each stack.
    Source: Service Authorization Reference, of each service.
    """
    stack = Stack.of(scope)
    names = sorted({f"{Stack.of(one).stack_name}-*" for one in of})
    in_clusters = f"{stack.stack_name}-*" if cluster is None else "*"
    patterns = {
        "cloudformation": [_arn(stack, "cloudformation", "stack", f"{n[:-2]}/*") for n in names],
        "dynamodb": [_arn(stack, "dynamodb", "table", n) for n in names],
        "events": [_arn(stack, "events", "rule", n) for n in names],
        "iam": [_arn(stack, "iam", "role", f"*{n}", region="") for n in names],
        "lambda": [
            _arn(stack, "lambda", "function", n, between=ArnFormat.COLON_RESOURCE_NAME)
            for n in names
        ],
        "s3": [f"arn:{stack.partition}:s3:::{n}" for n in names],
        "sqs": [_arn(stack, "sqs", n, between=ArnFormat.NO_RESOURCE_NAME) for n in names],
        "ssm": [
            _arn(stack, "ssm", "parameter", f"{system_parameter(system)[1:]}{end}")
            for end in ("", "/*")
        ],
    }
    services = _arn(stack, "ecs", "service", f"{in_clusters}/*")
    tasks = _arn(stack, "ecs", "task", f"{in_clusters}/*")
    policy = iam.ManagedPolicy(
        scope,
        "Doctor",
        description=f"Reads what remotejob why and doctor look at, of system {system}",
        statements=[
            *(allow(service, calls, patterns[service]) for service, calls in _READS.items()),
            allow("ecs", ["DescribeServices", "DescribeTasks"], [services, tasks]),
            iam.PolicyStatement(
                actions=[f"{service}:{call}" for service, call in _ANYWHERE], resources=["*"]
            ),
        ],
    )
    for arn in [services, tasks, *(one for found in patterns.values() for one in found)]:
        if "*" in arn:
            acknowledge_arn(policy, arn, because=_WHY)
    acknowledge(policy, "IAM5[Resource::*]", because=_WHY)
    cdk.CfnOutput(
        scope,
        "DoctorPolicy",
        value=policy.managed_policy_arn,
        description="Attach it to whoever runs remotejob why and doctor",
    )


def _arn(
    stack: Stack,
    service: str,
    kind: str,
    name: str | None = None,
    *,
    region: str | None = None,
    between: ArnFormat = ArnFormat.SLASH_RESOURCE_NAME,
) -> str:
    return stack.format_arn(
        service=service, resource=kind, resource_name=name, region=region, arn_format=between
    )
