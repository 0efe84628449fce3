"""The storage stack: the data that must not be lost."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from remotejob.names import system_parameter
from remotejob.settings import Settings, Stage
from stacks.description import check_size, describe
from stacks.groups import Groups, GroupsProps
from stacks.queues import JobQueue, JobQueueProps
from stacks.stack import SystemStack, removal_policy
from stacks.storage import Buckets, BucketsProps, JobTable, JobTableProps


class StorageStack(SystemStack):
    """The buckets, the job table and the queues; the description by which clients find them, and
    the policies of the permission groups."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        system = settings.system
        production = system.stage is Stage.PRODUCTION
        super().__init__(
            scope,
            settings,
            "storage",
            description="buckets, job table and queues",
            termination_protection=production,
        )
        self.buckets = Buckets(
            self,
            "Buckets",
            BucketsProps(
                retention_days=system.retention_days, removal_policy=removal_policy(settings)
            ),
        )
        self.table = JobTable(
            self,
            "Jobs",
            JobTableProps(
                deletion_protection=production,
                removal_policy=removal_policy(settings),
                max_read_units=system.max_read_units,
                max_write_units=system.max_write_units,
            ),
        ).table
        scope_of_queues = Construct(self, "Queues")
        self.queues = {
            name: JobQueue(scope_of_queues, name, JobQueueProps(lease_seconds=system.lease_seconds))
            for name in settings.queues
        }
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
        parameter = ssm.StringParameter(
            self,
            "Description",
            parameter_name=system_parameter(system.name),
            description="What clients read to find this system",
            string_value=self.to_json_string(self.description),
        )
        Groups(
            self,
            "Groups",
            GroupsProps(
                system=system.name,
                table=self.table,
                input=self.buckets.input,
                output=self.buckets.output,
                queues=self.queues,
                parameter=parameter,
            ),
        )
        cdk.CfnOutput(self, "InputBucket", value=self.buckets.input.bucket_name)
        cdk.CfnOutput(self, "OutputBucket", value=self.buckets.output.bucket_name)
        cdk.CfnOutput(self, "Parameter", value=parameter.parameter_name)
