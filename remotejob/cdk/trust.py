"""Which service may assume a role, and on whose behalf: only on this account's.

Without a condition, a service could be made to assume the role for somebody else's resource (the
confused deputy). Lambda's roles have none: AWS documents none for the role of a function, and a
function whose role Lambda cannot assume is not created.
"""

from __future__ import annotations

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct


def of_tasks(scope: Construct) -> iam.IPrincipal:
    """ECS, for a task of this account and region.

    Source: Amazon ECS Developer Guide, "Amazon ECS task IAM role", trust policy.
    """
    return _on_behalf_of(
        Stack.of(scope).format_arn(
            service="ecs", resource="*", arn_format=ArnFormat.NO_RESOURCE_NAME
        ),
        service="ecs-tasks.amazonaws.com",
    )


def of_flow_logs(scope: Construct) -> iam.IPrincipal:
    """VPC flow logs of this account and region.

    Source: Amazon VPC User Guide, "IAM role for publishing flow logs to CloudWatch Logs".
    """
    return _on_behalf_of(
        Stack.of(scope).format_arn(service="ec2", resource="vpc-flow-log", resource_name="*"),
        service="vpc-flow-logs.amazonaws.com",
    )


def _on_behalf_of(arn: str, *, service: str) -> iam.IPrincipal:
    return iam.ServicePrincipal(
        service,
        conditions={
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": arn},
        },
    )
