"""The construct: one system of buckets, queues, table, functions and workers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

from remotejob.cdk.access import Access
from remotejob.cdk.existing import Existing
from remotejob.cdk.functions_part import FunctionsCode, FunctionsPart
from remotejob.cdk.images import RepositoryImage, WorkerImage
from remotejob.cdk.stack import SystemStack
from remotejob.cdk.storage_part import StoragePart
from remotejob.cdk.system_metrics import SystemMetrics
from remotejob.cdk.workers_part import WorkersPart
from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.names import STAGE_CONTEXT, Part
from remotejob.settings import Settings, Stage, load
from remotejob.settings.document import as_toml

_PARTS: Final = {
    Part.STORAGE: "buckets, job table and queues",
    Part.FUNCTIONS: "uploads and the scheduler",
    Part.WORKERS: "the Fargate workers",
}

_PATH: Final = re.compile(r"/|/[!-~]{1,510}/")


class RemoteJobSystem(Construct, Access, SystemMetrics):
    """A whole system.

    In an app or a stage it makes three stacks, remotejob-NAME-storage, remotejob-NAME-functions and
    remotejob-NAME-workers, so that what holds data is updated, and protected, on its own. In a
    stack of yours it puts all into that stack.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002
        *,
        settings: Path | str | Settings,
        worker: WorkerImage | RepositoryImage,
        functions: FunctionsCode | None = None,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: tuple[ec2.ISecurityGroup, ...] = (),
        cluster: ecs.ICluster | None = None,
        input_bucket: s3.IBucket | None = None,
        output_bucket: s3.IBucket | None = None,
        encryption_key: kms.IKey | None = None,
        alarm_topic: sns.ITopic | None = None,
        permissions_boundary: iam.IManagedPolicy | None = None,
        role_path: str | None = None,
        env: cdk.Environment | None = None,
    ) -> None:
        """What is not given is made.

        settings: the file `remotejob.toml`; or settings, perhaps loaded and then changed.
        worker: the image of the workers: built from a folder, or from a repository of the app.
        functions: handlers of yours around the library's.
        vpc: default the cluster's, or a new one of public subnets.
        vpc_subnets: default those with a way out through a NAT gateway, or else the public ones.
        security_groups: of the workers; default one that lets nothing in and anything out.
        cluster: one for the workers of all queues, with the capacity provider FARGATE; default one
            a queue, whose workers then cannot reach each other's scale-in protection.
        input_bucket: nothing of it is changed. Turn its EventBridge notifications on, and its
            versions; let `jobs/` expire after the retention.
        output_bucket: nothing of it is changed.
        encryption_key: of new buckets, the table and the queues, and of the buckets given. If it is
            imported, its policy must let events.amazonaws.com decrypt and generate data keys.
        alarm_topic: what the alarms report to, in place of a mail to `alarm_email`; it must let
            cloudwatch.amazonaws.com publish.
        permissions_boundary, role_path: of every role that is made.
        env: account and region of the three stacks, such as those of a stack whose VPC they use;
            default the stage's, or else wherever it is deployed. In a stack of yours, that one's.

        Raises: SettingsError, BundleError.
        """
        super().__init__(scope, id)
        self._env = env
        _check_path(role_path)
        if vpc is None and cluster is None and (vpc_subnets is not None or security_groups):
            raise SettingsError(
                "vpc_subnets and security_groups are of a VPC: give vpc or cluster, too"
            )
        self._settings, text = _read(settings)
        self._settings = self._in_stage(self._settings)
        self._production = self._settings.system.stage is Stage.PRODUCTION
        existing = Existing(
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_groups=security_groups,
            cluster=cluster,
            input_bucket=input_bucket,
            output_bucket=output_bucket,
            encryption_key=encryption_key,
        )
        places = {part: self._place(scope, part) for part in _PARTS}
        self.storage = StoragePart(places[Part.STORAGE], self._settings, existing)
        self.functions = FunctionsPart(
            places[Part.FUNCTIONS],
            self._settings,
            text=text,
            storage=self.storage,
            code=functions,
            alarm_topic=alarm_topic,
        )
        self.workers = WorkersPart(
            places[Part.WORKERS],
            self._settings,
            storage=self.storage,
            worker=worker,
            existing=existing,
            scheduler=self.functions.scheduler.function.role,
        )
        if not self._production:
            _warn(places[Part.STORAGE], self._settings.system.name)
        for place in places.values():
            for key, value in self._settings.system.tags.items():
                cdk.Tags.of(place).add(key, value)
            if permissions_boundary is not None:
                iam.PermissionsBoundary.of(place).apply(permissions_boundary)
            if role_path is not None:
                cdk.Aspects.of(place).add(_RolePath(role_path))

    def _in_stage(self, settings: Settings) -> Settings:
        """The settings, in the stage that the CDK's context names, if it names one."""
        asked = self.node.try_get_context(STAGE_CONTEXT)
        if asked is None:
            return settings
        stage = check_choice(f"-c {STAGE_CONTEXT}=", asked, Stage, error=SettingsError)
        return replace(settings, system=replace(settings.system, stage=stage))

    def _place(self, scope: Construct, part: Part) -> Construct:
        """Where a part goes: a stack of its own, or the stack around this construct."""
        if any(cdk.Stack.is_stack(one) for one in scope.node.scopes):
            if self._env is not None:
                raise SettingsError("env: in a stack of yours, give it to that stack")
            return Construct(self, part.title())
        return SystemStack(
            scope,
            self._settings,
            part,
            description=_PARTS[part],
            env=self._env,
            termination_protection=part is Part.STORAGE and self._production,
        )

    @property
    def input_bucket(self) -> s3.IBucket:
        return self.storage.buckets.input

    @property
    def output_bucket(self) -> s3.IBucket:
        return self.storage.buckets.output


def _read(settings: Path | str | Settings) -> tuple[Settings, bytes]:
    """Settings, and the text that says them."""
    if isinstance(settings, Settings):
        return settings, as_toml(settings).encode()
    return load(settings), Path(settings).read_bytes()


def _warn(scope: Construct, system: str) -> None:
    """Let the CDK's command line say what can be lost."""
    cdk.Annotations.of(scope).add_info(
        f"system {system!r} is for development: destroying its stacks deletes the job table, all"
        " messages and the emptied buckets, and taking a queue out of the settings deletes its"
        " messages; -c stage=production keeps them"
    )


def _check_path(path: str | None) -> None:
    """Source: IAM API Reference, CreateRole, Path."""
    if path is not None and not _PATH.fullmatch(path):
        raise SettingsError(
            f"role_path = {shown(path)}: begin and end it with a slash, such as '/teams/scans/',"
            " with at most 512 characters and no spaces"
        )


@jsii.implements(cdk.IAspect)
class _RolePath:
    """Gives every role a path. Source: IAM User Guide, "IAM identifiers", friendly names and
    paths."""

    def __init__(self, path: str) -> None:
        self._path = path

    def visit(self, node: IConstruct) -> None:
        if isinstance(node, iam.CfnRole):
            node.path = self._path
