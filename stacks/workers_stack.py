"""The workers stack: the network, the cluster, the image, and a service for each queue."""

from __future__ import annotations

from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from remotejob.names import MIN_FREE_DISK_PERCENT, Env
from remotejob.settings import QueueSettings, Settings
from stacks.bundle import ROOT
from stacks.checks import acknowledge_arn, acknowledge_objects
from stacks.network import Network, NetworkProps
from stacks.permissions import measuring_calls, protection_calls, worker_calls
from stacks.scaling import Scaling, ScalingProps
from stacks.stack import SystemStack, removal_policy
from stacks.storage_stack import StorageStack
from stacks.workers import Workers, WorkersProps


class WorkersStack(SystemStack):
    """The workers: one image, one cluster, a service for each queue."""

    def __init__(self, scope: Construct, settings: Settings, *, storage: StorageStack) -> None:
        super().__init__(scope, settings, "workers", description="the Fargate workers")
        removal = removal_policy(settings)
        network = Network(self, "Network", NetworkProps(removal_policy=removal))
        cluster = ecs.Cluster(
            self,
            "Cluster",
            vpc=network.vpc,
            enable_fargate_capacity_providers=True,
            # The scaling reads the desired number of workers from it.
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        image = ecr_assets.DockerImageAsset(
            self,
            "Image",
            # .dockerignore selects the files that go into the image.
            directory=str(ROOT),
            file="worker_container/Dockerfile",
            # Explicit, so a laptop with an ARM processor builds the image that Fargate runs. Not
            # ARM: most build machines are not, and some packages have no wheel for it.
            platform=ecr_assets.Platform.LINUX_AMD64,
        )
        services = Construct(self, "Queues")
        for name, queue in settings.queues.items():
            workers = Workers(
                services,
                name,
                WorkersProps(
                    queue=queue,
                    image=image,
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
                    },
                    removal_policy=removal,
                ),
            )
            for statement in worker_calls(
                queue_name=name,
                queues=storage.queues,
                table=storage.table,
                input=storage.buckets.input,
                output=storage.buckets.output,
            ):
                workers.role.add_to_policy(statement)
            capped = [name for name, one in settings.queues.items() if one.max_pending is not None]
            for statement in measuring_calls([storage.queues[name] for name in capped]):
                workers.role.add_to_policy(statement)
            tasks = cluster.arn_for_tasks("*")
            workers.role.add_to_policy(protection_calls(tasks))
            acknowledge_arn(
                workers.role,
                tasks,
                because="A worker protects itself, and its task's id is not known beforehand",
            )
            acknowledge_objects(
                workers.role,
                storage.buckets.input,
                "*",
                because="A route may take uploads from anywhere in the input bucket",
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
                    budgeted=queue.daily_jobs is not None or queue.daily_dollars is not None,
                ),
            )


def _min_free_disk(queue: QueueSettings) -> dict[str, str]:
    """Nothing if it is the workers' own default, so that such templates stay as they were."""
    percent = queue.min_free_disk_percent
    if percent == MIN_FREE_DISK_PERCENT:
        return {}
    return {Env.MIN_FREE_DISK.value: str(percent)}
