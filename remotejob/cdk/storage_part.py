"""The data that must not be lost: one of the three parts of a system."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import Construct

from remotejob.cdk.description import Descriptions
from remotejob.cdk.existing import Existing
from remotejob.cdk.groups import Groups, GroupsProps
from remotejob.cdk.queues import JobQueueProps, JobQueues
from remotejob.cdk.stack import removal_policy
from remotejob.cdk.storage import Buckets, BucketsProps, JobTable, JobTableProps
from remotejob.domain.errors import SettingsError
from remotejob.names import SystemKey
from remotejob.settings import Settings, Stage


class StoragePart:
    """The buckets, the job table and the queues; the description by which clients find them, and
    the policies of the permission groups."""

    def __init__(self, scope: Construct, settings: Settings, existing: Existing) -> None:
        """`scope` is a stack, or a construct in one."""
        system = settings.system
        self.key = _key(scope, settings, existing)
        if existing.output_bucket is not None and system.output_retention_days is not None:
            raise SettingsError(
                "[system]: output_retention_days: the app brings the output bucket, of which"
                " nothing is changed; leave it out, and give that bucket a lifecycle rule"
            )
        self.buckets = Buckets(
            scope,
            "Buckets",
            BucketsProps(
                retention_days=system.retention_days,
                removal_policy=removal_policy(settings),
                input=existing.input_bucket,
                output=existing.output_bucket,
                output_retention_days=system.output_retention_days,
                encryption_key=self.key,
            ),
        )
        self.table = JobTable(
            scope,
            "Jobs",
            JobTableProps(
                deletion_protection=system.stage is Stage.PRODUCTION,
                removal_policy=removal_policy(settings),
                max_read_units=system.max_read_units,
                max_write_units=system.max_write_units,
                warm_read_units=system.warm_read_units,
                warm_write_units=system.warm_write_units,
                encryption_key=self.key,
            ),
        ).table
        self.queues = JobQueues(
            scope,
            "Queues",
            JobQueueProps(
                system=system.name,
                lease_seconds=system.lease_seconds,
                removal_policy=removal_policy(settings),
                encryption_key=self.key,
            ),
            names=settings.queues,
        ).queues
        self.descriptions = Descriptions(
            scope,
            settings,
            table=self.table,
            input_bucket=self.buckets.input,
            output_bucket=self.buckets.output,
            queues=self.queues,
            names={
                SystemKey.TABLE: self.table.table_name,
                SystemKey.INPUT_BUCKET: self.buckets.input.bucket_name,
                SystemKey.OUTPUT_BUCKET: self.buckets.output.bucket_name,
            },
        )
        self.groups = Groups(
            scope,
            "Groups",
            GroupsProps(
                system=system.name,
                table=self.table,
                input=self.buckets.input,
                output=self.buckets.output,
                encryption_key=self.key,
            ),
        )
        cdk.CfnOutput(scope, "InputBucket", value=self.buckets.input.bucket_name)
        cdk.CfnOutput(scope, "OutputBucket", value=self.buckets.output.bucket_name)
        cdk.CfnOutput(scope, "Parameter", value=self.descriptions.parameter.parameter_name)


def _key(scope: Construct, settings: Settings, existing: Existing) -> kms.IKey | None:
    """The customer's key. Raises: SettingsError, when both the app and the settings name one."""
    arn = settings.system.encryption_key
    if arn is None:
        return existing.encryption_key
    if existing.encryption_key is not None:
        raise SettingsError(
            "[system]: encryption_key: the app gives the construct a key; name it in one of them"
        )
    return kms.Key.from_key_arn(scope, "Key", arn)
