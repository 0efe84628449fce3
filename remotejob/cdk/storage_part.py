"""The data that must not be lost: one of the three parts of a system."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from remotejob.cdk.description import Descriptions
from remotejob.cdk.existing import Existing
from remotejob.cdk.groups import Groups, GroupsProps
from remotejob.cdk.queues import JobQueueProps, JobQueues
from remotejob.cdk.stack import removal_policy
from remotejob.cdk.storage import Buckets, BucketsProps, JobTable, JobTableProps
from remotejob.names import SystemKey
from remotejob.settings import Settings, Stage


class StoragePart:
    """The buckets, the job table and the queues; the description by which clients find them, and
    the policies of the permission groups."""

    def __init__(self, scope: Construct, settings: Settings, existing: Existing) -> None:
        """`scope` is a stack, or a construct in one."""
        system = settings.system
        self.key = existing.encryption_key
        self.buckets = Buckets(
            scope,
            "Buckets",
            BucketsProps(
                retention_days=system.retention_days,
                removal_policy=removal_policy(settings),
                input=existing.input_bucket,
                output=existing.output_bucket,
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
