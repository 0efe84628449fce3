"""Apps as a team writes them, in a folder with a space in its name and without this checkout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from remotejob import RemoteJob
from remotejob.cdk import RemoteJobApp, RemoteJobSystem, WorkerImage
from remotejob.local.embedded import EmbeddedAws
from tests.deployed import ASSETS, exported

PROJECT = Path(__file__).with_name("own project")
IMAGE = WorkerImage(folder=PROJECT)
ROLES = ("submit", "read", "manage", "work")


def two_systems(outdir: Path) -> RemoteJobApp:
    """Two systems in one app, each of three stacks."""
    app = RemoteJobApp(PROJECT, outdir=outdir)
    RemoteJobSystem(app, "One", settings=app.settings, worker=IMAGE)
    RemoteJobSystem(app, "Other", settings=PROJECT / "other.toml", worker=IMAGE)
    return app


def one_stack(outdir: Path) -> RemoteJobApp:
    """Two systems in one stack."""
    app = RemoteJobApp(PROJECT, outdir=outdir)
    stack = cdk.Stack(app, "all")
    RemoteJobSystem(stack, "One", settings=app.settings, worker=IMAGE)
    RemoteJobSystem(stack, "Other", settings=PROJECT / "other.toml", worker=IMAGE)
    return app


def everything_of_its_own(outdir: Path) -> RemoteJobApp:
    """A platform stack with a network, a cluster, a key and a bucket; and a system that uses them,
    with roles that were granted what it offers, and a dashboard of all its metrics."""
    app = RemoteJobApp(PROJECT, outdir=outdir)
    platform = cdk.Stack(app, "platform")
    vpc = ec2.Vpc(platform, "Vpc", max_azs=2, restrict_default_security_group=False)
    vpc.add_flow_log("Flow")
    cluster = ecs.Cluster(
        platform,
        "Cluster",
        vpc=vpc,
        enable_fargate_capacity_providers=True,
        container_insights_v2=ecs.ContainerInsights.ENABLED,
    )
    key = kms.Key(platform, "Key", enable_key_rotation=True)
    stack = cdk.Stack(app, "jobs")
    system = RemoteJobSystem(
        stack,
        "Jobs",
        settings=app.settings,
        worker=IMAGE,
        cluster=cluster,
        input_bucket=_bucket(platform, key),
        encryption_key=key,
        permissions_boundary=iam.ManagedPolicy(
            platform,
            "Boundary",
            statements=[
                iam.PolicyStatement(actions=["s3:GetObject"], resources=["arn:aws:s3:::x"])
            ],
        ),
        role_path="/teams/scans/",
    )
    for name in ROLES:
        role = iam.Role(stack, name.title(), assumed_by=iam.AccountRootPrincipal())
        getattr(system, f"grant_{name}")(role)
        cdk.CfnOutput(stack, f"{name.title()}Role", value=role.role_arn)
    cloudwatch.Dashboard(stack, "Metrics", widgets=[[cloudwatch.GraphWidget(left=metrics(system))]])
    return app


def metrics(system: RemoteJobSystem) -> list[cloudwatch.IMetric]:
    """All metrics of a system with one queue."""
    names = sorted(name for name in dir(system) if name.startswith("metric_"))
    return [getattr(system, name)() for name in names]


def _bucket(stack: cdk.Stack, key: kms.Key) -> s3.Bucket:
    logs = s3.Bucket(stack, "Logs", enforce_ssl=True)
    bucket = s3.Bucket(
        stack,
        "Files",
        versioned=True,
        enforce_ssl=True,
        server_access_logs_bucket=logs,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
    )
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    # as `event_bridge_enabled`, but without its custom resource
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )
    return bucket


@contextmanager
def deployed(folder: Path) -> Iterator[EmbeddedAws]:
    """An AWS with all stacks of an assembly, and a worker for each service."""
    with (
        EmbeddedAws.for_assembly(folder, cache=ASSETS) as aws,
        exported(aws.environment()),
    ):
        found = aws.deploy(folder)
        for service in found.all("AWS::ECS::Service"):
            aws.start_worker(service.physical_id, directory=PROJECT)
        yield aws


def upload(aws: EmbeddedAws, system: RemoteJob, key: str, content: bytes) -> None:
    aws.client("s3").put_object(Bucket=system.input_bucket, Key=key, Body=content)
