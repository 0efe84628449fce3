"""What the scheduler needs to scale the workers: where they are, and the rights to do it.

The workers stack writes both, so that the functions stack need not know the workers.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from remotejob.cdk.checks import acknowledge, acknowledge_arn, seen_from
from remotejob.cdk.permissions import allow
from remotejob.names import WORKERS_VERSION, WorkersKey, workers_parameter
from remotejob.settings import QueueSettings

_WHY_PATTERN: Final = (
    "CloudFormation names the services, tasks and clusters of this stack, each after the stack; 50"
    " queues would not fit into a policy one by one"
)


def describe_workers(
    scope: Construct,
    *,
    system: str,
    name: str,
    queue: QueueSettings,
    cluster: ecs.ICluster,
    service: ecs.FargateService,
    capacity: tuple[tuple[str, int, int], ...],
) -> None:
    """Write where a queue's workers are, and how many there may be.

    capacity: capacity providers, each with its weight and base.
    """
    ssm.StringParameter(
        scope,
        "Description",
        parameter_name=workers_parameter(system, name),
        description="What the scheduler reads to scale these workers",
        string_value=Stack.of(scope).to_json_string(
            {
                WorkersKey.VERSION.value: WORKERS_VERSION,
                WorkersKey.CLUSTER.value: cluster.cluster_name,
                WorkersKey.SERVICE.value: service.service_name,
                WorkersKey.MIN.value: queue.min_workers,
                WorkersKey.MAX.value: queue.max_workers,
                WorkersKey.JOBS.value: queue.jobs_at_a_time,
                WorkersKey.IDLE_MINUTES.value: queue.idle_minutes,
                WorkersKey.CAPACITY.value: [list(share) for share in capacity],
            }
        ),
    )


def let_scale(
    scope: Construct, scheduler: iam.IRole, *, system: str, cluster: ecs.ICluster | None
) -> None:
    """Let the scheduler read and change the services of this stack, and no others.

    cluster: the one of all queues; None if each has one of this stack.
    Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon
    Elastic Container Service" and "… for AWS Systems Manager".
    """
    stack = Stack.of(scope)
    ours = f"{stack.stack_name}-*"
    clusters = ours if cluster is None else cluster.cluster_name
    services = _ecs_arn(stack, "service", f"{clusters}/{ours}")
    tasks = _ecs_arn(stack, "task", f"{clusters}/*")
    parameters = stack.format_arn(
        service="ssm",
        resource="parameter",
        # the name begins with a slash, as the ARN's path does
        resource_name=workers_parameter(system, "*").removeprefix("/"),
    )
    policy = iam.Policy(
        scope,
        "SchedulerScales",
        roles=[scheduler],
        statements=[
            allow("ssm", ["GetParameters"], [parameters]),
            allow("ecs", ["DescribeServices", "UpdateService"], [services]),
            allow("ecs", ["DescribeTasks"], [tasks]),
            iam.PolicyStatement(
                # tasks are listed by cluster, and have no resource of their own
                actions=["ecs:ListTasks"],
                resources=["*"],
                conditions={"ArnLike": {"ecs:cluster": _ecs_arn(stack, "cluster", clusters)}},
            ),
        ],
    )
    seen = clusters if cluster is None else seen_from(policy, cluster, clusters)
    for arn in (
        parameters,
        _ecs_arn(stack, "service", f"{seen}/{ours}"),
        _ecs_arn(stack, "task", f"{seen}/*"),
    ):
        acknowledge_arn(policy, arn, because=_WHY_PATTERN)
    acknowledge(
        policy,
        "IAM5[Resource::*]",
        because="ecs:ListTasks is restricted to the clusters of this stack by its condition",
    )


def _ecs_arn(stack: Stack, kind: str, name: str) -> str:
    return stack.format_arn(
        service="ecs",
        resource=kind,
        resource_name=name,
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
