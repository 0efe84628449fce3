"""The workers stack: the network, the cluster, the image, and a service for each queue."""

from __future__ import annotations

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from remotejob.names import MIN_FREE_DISK_PERCENT, Env
from remotejob.settings import QueueSettings, Settings
from stacks.checks import acknowledge_arn, acknowledge_objects
from stacks.images import Images
from stacks.network import Network, NetworkProps
from stacks.permissions import (
    budget_calls,
    foreign_input_calls,
    protection_calls,
    readable_inputs,
    worker_calls,
)
from stacks.scaling import Scaling, ScalingProps
from stacks.stack import SystemStack, removal_policy
from stacks.storage_stack import StorageStack
from stacks.task_permissions import let
from stacks.workers import Workers, WorkersProps


class WorkersStack(SystemStack):
    """The workers: one image, one cluster, a service for each queue."""

    def __init__(self, scope: Construct, settings: Settings, *, storage: StorageStack) -> None:
        super().__init__(scope, settings, "workers", description="the Fargate workers")
        removal = removal_policy(settings)
        network = Network(self, "Network", NetworkProps(removal_policy=removal))
        images = Images(self)
        services, clusters = Construct(self, "Queues"), Construct(self, "Clusters")
        for name, queue in settings.queues.items():
            # A cluster a queue, since only its ARN tells the tasks of one queue from another's.
            cluster = ecs.Cluster(
                clusters,
                name,
                vpc=network.vpc,
                enable_fargate_capacity_providers=True,
                # The scaling reads the desired number of workers from it.
                container_insights_v2=ecs.ContainerInsights.ENABLED,
            )
            workers = Workers(
                services,
                name,
                WorkersProps(
                    queue=queue,
                    image=images.of(name, queue),
                    cluster=cluster,
                    network=network,
                    environment={
                        Env.SYSTEM.value: self.to_json_string(storage.description),
                        Env.QUEUE.value: name,
                        Env.CONCURRENCY.value: str(queue.concurrency),
                        Env.PROCESSES.value: str(queue.processes),
                        Env.TASKS.value: queue.tasks_module,
                        Env.LOG_LEVEL.value: queue.log_level,
                        Env.METRICS.value: "on" if queue.metrics else "off",
                        **({Env.HOOKS.value: queue.hooks_module} if queue.hooks_module else {}),
                        **_min_free_disk(queue),
                        **_secret_names(queue),
                        **queue.environment,
                    },
                    removal_policy=removal,
                ),
            )
            inputs = readable_inputs(name, settings.input_prefixes(name))
            for statement in worker_calls(
                queue_name=name,
                queue=storage.queues[name],
                table=storage.table,
                input=storage.buckets.input,
                output=storage.buckets.output,
                inputs=inputs,
            ):
                workers.role.add_to_policy(statement)
            for statement in budget_calls(name, queue, storage.table):
                workers.role.add_to_policy(statement)
            for bucket in settings.system.readable_buckets:
                self._let_read(workers.role, bucket)
            let(workers.role, queue.permissions)
            tasks = cluster.arn_for_tasks("*")
            workers.role.add_to_policy(protection_calls(tasks))
            acknowledge_arn(
                workers.role,
                tasks,
                because="A worker protects itself, and its task's id is not known beforehand",
            )
            for keys in inputs:
                acknowledge_objects(
                    workers.role,
                    storage.buckets.input,
                    keys,
                    because="Inputs of this queue's jobs, whose keys are not known beforehand",
                )
            acknowledge_objects(
                workers.role,
                storage.buckets.output,
                f"{name}/*",
                because="Outputs of this queue's jobs, whose keys hold ids not known beforehand",
            )
            Scaling(
                workers,
                "Scaling",
                ScalingProps(
                    cluster=cluster,
                    service=workers.service,
                    queue=storage.queues[name],
                    concurrency=queue.jobs_at_a_time,
                    max_workers=queue.max_workers,
                    system=settings.system.name,
                    queue_name=name,
                    budgeted=queue.budgeted,
                ),
            )

    def _let_read(self, role: iam.Role, bucket: str) -> None:
        arn = self.format_arn(service="s3", region="", account="", resource=bucket)
        for statement in foreign_input_calls(arn):
            role.add_to_policy(statement)
        acknowledge_arn(
            role, f"{arn}/*", because="The settings say that jobs may have inputs from this bucket"
        )


def _min_free_disk(queue: QueueSettings) -> dict[str, str]:
    """Nothing if it is the workers' own default, so that such templates stay as they were."""
    percent = queue.min_free_disk_percent
    if percent == MIN_FREE_DISK_PERCENT:
        return {}
    return {Env.MIN_FREE_DISK.value: str(percent)}


def _secret_names(queue: QueueSettings) -> dict[str, str]:
    """The names of the variables that hold secrets; nothing if there are none."""
    return {Env.SECRETS.value: ",".join(queue.secrets)} if queue.secrets else {}
