"""The data that must not be lost: one of the three parts of a system."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from remotejob.cdk.description import check_size, describe
from remotejob.cdk.existing import Existing
from remotejob.cdk.groups import Groups, GroupsProps
from remotejob.cdk.queues import JobQueue, JobQueueProps
from remotejob.cdk.stack import removal_policy
from remotejob.cdk.storage import Buckets, BucketsProps, JobTable, JobTableProps
from remotejob.names import system_parameter
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
        scope_of_queues = Construct(scope, "Queues")
        props = JobQueueProps(
            lease_seconds=system.lease_seconds,
            encryption_key=self.key,
            removal_policy=removal_policy(settings),
        )
        self.queues = {name: JobQueue(scope_of_queues, name, props) for name in settings.queues}
        check_size(
            settings,
            table=self.table,
            input_bucket=self.buckets.input,
            output_bucket=self.buckets.output,
            queues=self.queues,
        )
        self.description = describe(
            settings,
            table=self.table.table_name,
            input_bucket=self.buckets.input.bucket_name,
            output_bucket=self.buckets.output.bucket_name,
            urls={
                name: {key: queue.queue_url for key, queue in job_queue.queues.items()}
                for name, job_queue in self.queues.items()
            },
        )
        self.parameter = ssm.StringParameter(
            scope,
            "Description",
            parameter_name=system_parameter(system.name),
            description="What clients read to find this system",
            string_value=cdk.Stack.of(scope).to_json_string(self.description),
        )
        self.groups = Groups(
            scope,
            "Groups",
            GroupsProps(
                system=system.name,
                table=self.table,
                input=self.buckets.input,
                output=self.buckets.output,
                queues=self.queues,
                parameter=self.parameter,
                encryption_key=self.key,
            ),
        )
        cdk.CfnOutput(scope, "InputBucket", value=self.buckets.input.bucket_name)
        cdk.CfnOutput(scope, "OutputBucket", value=self.buckets.output.bucket_name)
        cdk.CfnOutput(scope, "Parameter", value=self.parameter.parameter_name)
