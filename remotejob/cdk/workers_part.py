"""The workers: one of the three parts of a system."""

from __future__ import annotations

from aws_cdk import Stack, Tags
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from remotejob.cdk.checks import acknowledge, acknowledge_arn, acknowledge_objects, seen_from
from remotejob.cdk.doctor_policy import add_doctor_policy
from remotejob.cdk.existing import Existing
from remotejob.cdk.fleet import describe_workers, let_scale
from remotejob.cdk.images import Images, RepositoryImage, WorkerImage
from remotejob.cdk.network import (
    INTERFACES,
    Network,
    NetworkProps,
    WorkerNetwork,
    network_in,
    network_of,
)
from remotejob.cdk.permissions import (
    acknowledge_queues,
    budget_calls,
    foreign_input_calls,
    key_calls,
    permit,
    protection_calls,
    readable_inputs,
    worker_calls,
)
from remotejob.cdk.policy_room import check_room
from remotejob.cdk.rights import let
from remotejob.cdk.stack import removal_policy
from remotejob.cdk.storage_part import StoragePart
from remotejob.cdk.workers import Workers, WorkersProps
from remotejob.domain.errors import SettingsError
from remotejob.names import MIN_FREE_DISK_PERCENT, Env
from remotejob.settings import NetworkSettings, QueueSettings, Settings, Stage
from remotejob.settings.tags import QUEUE_TAG


class WorkersPart:
    """A network, and for each queue a cluster with a service that scales."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        storage: StoragePart,
        worker: WorkerImage | RepositoryImage,
        existing: Existing,
        scheduler: iam.IRole,
    ) -> None:
        """scheduler: the role of the function that scales the workers. Raises: SettingsError."""
        self._settings, self._storage, self._existing = settings, storage, existing
        self._removal = removal_policy(settings)
        network = _network(scope, settings, existing)
        self._images = Images(scope, worker, registry=settings.system.base_registry)
        services, clusters = Construct(scope, "Queues"), Construct(scope, "Clusters")
        self._described = Construct(scope, "Descriptions")
        self.services: dict[str, ecs.FargateService] = {}
        for name in settings.queues:
            provider = settings.queues[name].capacity_provider
            _check_provider(name, provider, network)
            cluster = existing.cluster or _cluster(clusters, name, network, provider=provider)
            workers = self._workers(services, name, cluster, network)
            Tags.of(workers).add(QUEUE_TAG, name)
            self._permit(workers.role, name, cluster)
            self._describe(workers, name, cluster)
            self.services[name] = workers.service
        let_scale(scope, scheduler, system=settings.system.name, cluster=existing.cluster)
        add_doctor_policy(
            scope,
            system=settings.system.name,
            cluster=existing.cluster,
            of=(storage.table, scheduler, scope),
        )

    def _workers(
        self,
        scope: Construct,
        name: str,
        cluster: ecs.ICluster,
        network: WorkerNetwork,
    ) -> Workers:
        queue = self._settings.queues[name]
        return Workers(
            scope,
            name,
            WorkersProps(
                queue=queue,
                image=self._images.of(name, queue),
                cluster=cluster,
                network=network,
                environment={
                    Env.SYSTEM.value: self._storage.descriptions.for_worker(self._described, name),
                    Env.QUEUE.value: name,
                    Env.CONCURRENCY.value: str(queue.concurrency),
                    Env.PROCESSES.value: str(queue.processes),
                    Env.TASKS.value: queue.tasks_module,
                    Env.LOG_LEVEL.value: queue.log_level,
                    Env.METRICS.value: "on" if queue.metrics else "off",
                    **({Env.HOOKS.value: queue.hooks_module} if queue.hooks_module else {}),
                    **_write_once(self._settings),
                    **_min_free_disk(queue),
                    **_secret_names(queue),
                    **queue.environment,
                },
                removal_policy=self._removal,
            ),
        )

    def _permit(self, role: iam.Role, name: str, cluster: ecs.ICluster) -> None:
        permit_work(role, name, self._settings, self._storage)
        let(role, self._settings.queues[name].permissions)
        role.add_to_policy(protection_calls(_tasks_of(role, cluster.cluster_name)))
        acknowledge_arn(
            role,
            _tasks_of(role, seen_from(role, cluster, cluster.cluster_name)),
            because="A worker protects itself, and its task's id is not known beforehand",
        )
        check_room(role, name)

    def _describe(self, workers: Workers, name: str, cluster: ecs.ICluster) -> None:
        describe_workers(
            workers,
            system=self._settings.system.name,
            name=name,
            queue=self._settings.queues[name],
            cluster=cluster,
            service=workers.service,
            capacity=self._settings.queues[name].capacity.shares,
        )


def permit_work(
    grantee: iam.IGrantable, name: str, settings: Settings, storage: StoragePart
) -> None:
    """Let a principal run the jobs of a queue, as the queue's own workers do.

    Raises: SettingsError, for a principal without a policy.
    """
    inputs = readable_inputs(name, settings.input_prefixes(name))
    statements = [
        *worker_calls(
            system=settings.system.name,
            queue_name=name,
            table=storage.table,
            input=storage.buckets.input,
            output=storage.buckets.output,
            inputs=inputs,
        ),
        *budget_calls(name, settings.queues[name], storage.table),
    ]
    foreign = [
        Stack.of(storage.table).format_arn(service="s3", region="", account="", resource=bucket)
        for bucket in settings.system.readable_buckets
    ]
    for arn in foreign:
        statements += foreign_input_calls(arn)
    permitted = permit(grantee, (*statements, *key_calls(storage.key)))
    acknowledge_queues(permitted)
    for arn in foreign:
        acknowledge_arn(
            permitted,
            f"{arn}/*",
            because="The settings say that jobs may have inputs from this bucket",
        )
    for keys in inputs:
        acknowledge_objects(
            permitted,
            storage.buckets.input,
            keys,
            because="Inputs of this queue's jobs, whose keys are not known beforehand",
        )
    acknowledge_objects(
        permitted,
        storage.buckets.output,
        f"{name}/*",
        because="Outputs of this queue's jobs, whose keys hold ids not known beforehand",
    )


def _tasks_of(scope: Construct, cluster: str) -> str:
    return Stack.of(scope).format_arn(service="ecs", resource="task", resource_name=f"{cluster}/*")


def _network(scope: Construct, settings: Settings, existing: Existing) -> WorkerNetwork:
    """Raises: SettingsError, when both the app and the settings name a VPC."""
    vpc = existing.vpc or (existing.cluster.vpc if existing.cluster is not None else None)
    if vpc is not None:
        if settings.network != NetworkSettings():
            raise SettingsError(
                "[network]: the app gives the construct a vpc or a cluster; leave the table out,"
                " or let the settings name the VPC"
            )
        return network_in(
            scope,
            vpc,
            subnets=existing.vpc_subnets,
            security_groups=existing.security_groups,
        )
    if settings.network.vpc_id is not None:
        return network_of(Construct(scope, "Network"), settings.network)
    return Network(
        scope,
        "Network",
        NetworkProps(
            settings=settings.network,
            production=settings.system.stage is Stage.PRODUCTION,
            interfaces=(*INTERFACES, *_where_secrets_are(settings)),
            removal_policy=removal_policy(settings),
        ),
    ).workers


def _where_secrets_are(settings: Settings) -> list[str]:
    """Services that ECS reads secrets from, through the network of the worker that gets them."""
    secrets = [one for queue in settings.queues.values() for one in queue.secrets.values()]
    parameters = any(one.parameter is not None for one in secrets)
    managed = any(one.secret is not None for one in secrets)
    return [*(["ssm"] if parameters else []), *(["secretsmanager"] if managed else [])]


def _check_provider(name: str, provider: str | None, network: WorkerNetwork) -> None:
    """Source: Amazon ECS API Reference, AwsVpcConfiguration, assignPublicIp: on Fargate alone."""
    if provider is not None and network.public_ip:
        raise SettingsError(
            f"[queues.{name}]: capacity_provider = {provider!r}: its workers get no public address,"
            " and these subnets have no other way out; set nat_gateways = 1 under [network], or"
            " name private subnets"
        )


def _cluster(
    scope: Construct, name: str, network: WorkerNetwork, *, provider: str | None
) -> ecs.Cluster:
    """A cluster a queue, since only its ARN tells the tasks of one queue from another's."""
    cluster = ecs.Cluster(
        scope,
        name,
        vpc=network.vpc,
    )
    acknowledge(
        cluster,
        "ECS4",
        because="Container Insights cost by the task, and nothing reads them: the scheduler scales",
    )
    resource = cluster.node.default_child
    assert isinstance(resource, ecs.CfnCluster)
    # Here, and not by a resource of its own for each queue: a stack has 500 at most.
    resource.capacity_providers = ["FARGATE", "FARGATE_SPOT"] if provider is None else [provider]
    return cluster


def _write_once(settings: Settings) -> dict[str, str]:
    """Nothing if outputs may be replaced, so that such templates stay as they were."""
    return {Env.WRITE_ONCE.value: "on"} if settings.system.write_once_outputs else {}


def _min_free_disk(queue: QueueSettings) -> dict[str, str]:
    """Nothing if it is the workers' own default, so that such templates stay as they were."""
    percent = queue.min_free_disk_percent
    if percent == MIN_FREE_DISK_PERCENT:
        return {}
    return {Env.MIN_FREE_DISK.value: str(percent)}


def _secret_names(queue: QueueSettings) -> dict[str, str]:
    """The names of the variables that hold secrets; nothing if there are none."""
    return {Env.SECRETS.value: ",".join(queue.secrets)} if queue.secrets else {}
