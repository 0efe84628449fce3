"""The workers of one job queue: a Fargate service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from remotejob.cdk.checks import acknowledge
from remotejob.cdk.functions import LOG_RETENTION
from remotejob.cdk.images import QueueImage
from remotejob.cdk.network import WorkerNetwork
from remotejob.cdk.permissions import allow, log_calls
from remotejob.cdk.secrets import Secrets
from remotejob.cdk.trust import of_tasks
from remotejob.settings import Architecture, QueueSettings

USER: Final = "10001:10001"
"""The user of `worker_container/Dockerfile`, by number: only a number shows that it is not root."""

SCRATCH: Final = "/tmp"  # noqa: S108  (the container's own volume, deleted with its task)

_PROCESSOR: Final = {
    Architecture.X86_64: ecs.CpuArchitecture.X86_64,
    Architecture.ARM64: ecs.CpuArchitecture.ARM64,
}

_ON_MACHINES: Final = ("EC2", "MANAGED_INSTANCES")
"""What a capacity provider by name may be made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkersProps:
    """Options of `Workers`."""

    queue: QueueSettings
    image: QueueImage
    cluster: ecs.ICluster
    network: WorkerNetwork
    environment: Mapping[str, str]
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """What happens to the log when the stack is destroyed."""


class Workers(Construct):
    """The service, its task definition and its two roles: the job's and the agent's."""

    def __init__(self, scope: Construct, id: str, props: WorkersProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "Log", retention=LOG_RETENTION, removal_policy=props.removal_policy
        )
        self.role = self._role("Role")
        self.agent_role = self._role("AgentRole")
        self.agent_role.add_to_policy(log_calls(log_group.log_group_arn))
        if props.image.repository_arn is not None:
            self._let_pull(props.image.repository_arn)
        self._secrets = Secrets(self, "Secrets", props.queue.secrets)
        for statement in self._secrets.calls:
            self.agent_role.add_to_policy(statement)
        self.task_definition = ecs.FargateTaskDefinition(
            self,
            "Task",
            cpu=props.queue.cpu,
            memory_limit_mib=props.queue.memory_mib,
            ephemeral_storage_gib=props.queue.ephemeral_storage_gib,
            runtime_platform=ecs.RuntimePlatform(
                # The same as the image's platform: see `remotejob.cdk.images`.
                cpu_architecture=_PROCESSOR[props.queue.architecture],
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            task_role=self.role,
            # The policies above are complete; the CDK must not add more.
            execution_role=self.agent_role.without_policy_updates(),
            volumes=[ecs.Volume(name="scratch")],
        )
        acknowledge(
            self.task_definition,
            "ECS2",
            because="The variables hold names, URLs and numbers; secrets are injected by ECS",
        )
        self._add_container(props, log_group)
        if props.queue.capacity_provider is not None:
            self._run_on_machines(props.queue)
        # Providers, not a launch type: changing from one to a provider replaces the service.
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=props.cluster,
            task_definition=self.task_definition,
            capacity_provider_strategies=[
                # no base where there is none, so that such templates stay as they were
                ecs.CapacityProviderStrategy(
                    capacity_provider=provider, weight=weight, base=base or None
                )
                for provider, weight, base in props.queue.capacity.shares
            ],
            # No desired count, because the scaling sets it. Every deployment would reset a number
            # given here, and 0 would stop all workers in the middle of their jobs. The first
            # deployment starts one worker, which proves that the image works, and then idles.
            # A queue whose workers are all elsewhere has none, ever.
            desired_count=None if props.queue.max_workers else 0,
            # A deployment starts the new worker before it stops the old one.
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            # Rebalancing zones would stop busy workers.
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            assign_public_ip=props.network.public_ip,
            vpc_subnets=props.network.subnets,
            security_groups=list(props.network.security_groups),
            enable_execute_command=False,
            # Tasks cost money and services do not, so the bill goes by the tags of tasks.
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            enable_ecs_managed_tags=True,
        )
        # A worker needs these to start, but its service does not refer to them: capacity
        # providers, the route out of its subnets, and the agent's permissions.
        self.service.node.add_dependency(props.cluster, self.agent_role)
        self.service.node.add_dependency(*props.network.ready)

    def _run_on_machines(self, queue: QueueSettings) -> None:
        """Let the tasks run on what a capacity provider by name has: machines, perhaps with GPUs.

        Source: Amazon ECS Developer Guide, "Amazon ECS task definitions for Amazon ECS Managed
        Instances" and "Amazon ECS task definitions for GPU workloads".
        """
        task = self.task_definition.node.default_child
        assert isinstance(task, ecs.CfnTaskDefinition)
        task.add_property_override("RequiresCompatibilities", list(_ON_MACHINES))
        if queue.gpus:
            task.add_property_override(
                "ContainerDefinitions.0.ResourceRequirements",
                [{"Type": "GPU", "Value": str(queue.gpus)}],
            )

    def _let_pull(self, repository_arn: str) -> None:
        self.agent_role.add_to_policy(allow("ecr", ["GetAuthorizationToken"], ["*"]))
        acknowledge(
            self.agent_role,
            "IAM5[Resource::*]",
            because="ecr:GetAuthorizationToken has no resource to be restricted to",
        )
        self.agent_role.add_to_policy(
            allow(
                "ecr",
                ["BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"],
                [repository_arn],
            )
        )

    def _role(self, id: str) -> iam.Role:  # noqa: A002
        return iam.Role(self, id, assumed_by=of_tasks(self))

    def _add_container(self, props: WorkersProps, log_group: logs.ILogGroup) -> None:
        container = self.task_definition.add_container(
            "Worker",
            image=props.image.image,
            environment=dict(props.environment),
            secrets=self._secrets.injected or None,
            user=USER,
            readonly_root_filesystem=True,
            # An init process reaps what a task's subprocesses leave, and passes on SIGTERM.
            linux_parameters=_linux(self),
            # The longest that Fargate offers, for running jobs to end or to be given back.
            stop_timeout=Duration.seconds(120),
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-m", "remotejob.container.health"],
                interval=Duration.seconds(30),
                timeout=Duration.seconds(10),
                retries=3,
                start_period=Duration.seconds(60),
            ),
            logging=ecs.LogDrivers.aws_logs(stream_prefix="worker", log_group=log_group),
        )
        if props.image.repository_arn is not None:
            Annotations.of(container).acknowledge_warning(
                "@aws-cdk/aws-ecs:ecrImageRequiresPolicy",
                "The agent's role names the repository",
            )
        container.add_mount_points(
            ecs.MountPoint(container_path=SCRATCH, source_volume="scratch", read_only=False)
        )


def _linux(scope: Construct) -> ecs.LinuxParameters:
    linux = ecs.LinuxParameters(scope, "Linux", init_process_enabled=True)
    linux.drop_capabilities(ecs.Capability.ALL)
    return linux
