"""The functions stack: the upload function and the scheduler."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from remotejob.names import INPUT_PREFIX_SUBMITTED, Env
from remotejob.settings import Settings
from stacks.checks import acknowledge_objects
from stacks.functions import PythonFunctionProps
from stacks.permissions import paused_calls, rate_calls, scheduler_calls, upload_calls
from stacks.scheduler import Scheduler, SchedulerProps
from stacks.stack import SystemStack, removal_policy
from stacks.storage_stack import StorageStack
from stacks.uploads import Uploads, UploadsProps


class FunctionsStack(SystemStack):
    """The Lambda functions: uploads and the scheduler."""

    def __init__(
        self, scope: Construct, settings: Settings, *, storage: StorageStack, code: Path
    ) -> None:
        super().__init__(scope, settings, "functions", description="uploads and the scheduler")
        function = PythonFunctionProps(
            code=lambda_.Code.from_asset(str(code)),
            environment={Env.SYSTEM.value: self.to_json_string(storage.description)},
            removal_policy=removal_policy(settings),
        )
        uploads = Uploads(
            self,
            "Uploads",
            UploadsProps(input_bucket_name=storage.buckets.input.bucket_name, function=function),
        )
        for statement in upload_calls(
            uploads=uploads.queue, table=storage.table, queues=storage.queues
        ):
            uploads.function.role.add_to_policy(statement)
        for statement in rate_calls(settings.routes, storage.table):
            uploads.function.role.add_to_policy(statement)
        scheduler = Scheduler(
            self, "Scheduler", SchedulerProps(function=function, system=settings.system.name)
        )
        for statement in scheduler_calls(
            table=storage.table,
            queues=storage.queues,
            input=storage.buckets.input,
            output=storage.buckets.output,
        ):
            scheduler.function.role.add_to_policy(statement)
        for statement in paused_calls(settings.queues.values(), storage.table):
            scheduler.function.role.add_to_policy(statement)
        acknowledge_objects(
            scheduler.function.role,
            storage.buckets.output,
            "*",
            because="The sweep removes outputs of runs that did not commit, of any queue and job",
        )
        acknowledge_objects(
            scheduler.function.role,
            storage.buckets.input,
            f"{INPUT_PREFIX_SUBMITTED}*",
            because="The sweep removes what removed jobs left, of any job",
        )
