"""The Lambda functions: one of the three parts of a system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from remotejob.cdk.alarms import Alarms, AlarmsProps, job_letters
from remotejob.cdk.bundle import BundleError, bundle
from remotejob.cdk.checks import acknowledge_arn, acknowledge_objects
from remotejob.cdk.functions import PythonFunctionProps
from remotejob.cdk.permissions import (
    acknowledge_queues,
    key_calls,
    nudge_calls,
    paused_calls,
    queue_parameters,
    rate_calls,
    scheduler_calls,
    upload_calls,
)
from remotejob.cdk.scheduler import SWEEP, Scheduler, SchedulerProps
from remotejob.cdk.stack import removal_policy
from remotejob.cdk.storage_part import StoragePart
from remotejob.cdk.uploads import Uploads, UploadsProps
from remotejob.names import INPUT_PREFIX_SUBMITTED, SMOKE_PREFIX, Env
from remotejob.settings import Settings

HANDLERS: Final = "remotejob.functions"
MODULES: Final = ("on_upload", "scheduler")


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionsCode:
    """Handlers of yours around the library's: a package with modules `on_upload` and `scheduler`,
    each with a `handler`."""

    folder: Path
    """The folder of the package; its name is the package's."""

    @property
    def package(self) -> str:
        return self.folder.name


class FunctionsPart:
    """The upload function with its queue, and the scheduler with its rules."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        text: bytes,
        storage: StoragePart,
        code: FunctionsCode | None,
        alarm_topic: sns.ITopic | None = None,
    ) -> None:
        """text: of the settings file. Raises: BundleError."""
        if code is not None:
            _check(code)
        system = settings.system.name
        folder = bundle(text, packages=() if code is None else (code.folder,))
        handlers = HANDLERS if code is None else code.package
        function = PythonFunctionProps(
            code=lambda_.Code.from_asset(str(folder)),
            environment={Env.SYSTEM.value: storage.descriptions.of_system},
            removal_policy=removal_policy(settings),
        )
        self.uploads = Uploads(
            scope,
            "Uploads",
            UploadsProps(
                system=system,
                input_bucket_name=storage.buckets.input.bucket_name,
                prefixes=(
                    sorted({SMOKE_PREFIX, *(route.prefix for route in settings.routes)})
                    if storage.buckets.shares_input
                    else None
                ),
                function=function,
                handler=f"{handlers}.on_upload.handler",
                encryption_key=storage.key,
                removal_policy=removal_policy(settings),
            ),
        )
        for statement in (
            *upload_calls(system=system, uploads=self.uploads.queue, table=storage.table),
            *rate_calls(settings.routes, storage.table),
            *key_calls(storage.key),
        ):
            self.uploads.function.role.add_to_policy(statement)
        self.scheduler = Scheduler(
            scope,
            "Scheduler",
            SchedulerProps(
                function=function,
                handler=f"{handlers}.scheduler.handler",
            ),
        )
        for statement in (
            *scheduler_calls(
                system=system,
                table=storage.table,
                input=storage.buckets.input,
                output=storage.buckets.output,
            ),
            *paused_calls(settings.queues.values(), storage.table),
            *key_calls(storage.key),
        ):
            self.scheduler.function.role.add_to_policy(statement)
        for role in (self.uploads.function.role, self.scheduler.function.role):
            acknowledge_queues(role)
            for arn in queue_parameters(system)[1:]:
                acknowledge_arn(role, arn, because="The queues' descriptions, and nothing else")
        acknowledge_objects(
            self.scheduler.function.role,
            storage.buckets.output,
            "*",
            because="The sweep removes outputs of runs that did not commit, of any queue and job",
        )
        acknowledge_objects(
            self.scheduler.function.role,
            storage.buckets.input,
            f"{INPUT_PREFIX_SUBMITTED}*",
            because="The sweep removes what removed jobs left, of any job",
        )
        self._let_nudge()
        self.alarms = Alarms(
            scope,
            "Alarms",
            AlarmsProps(
                system=settings.system.name,
                runbook=settings.system.runbook,
                email=settings.system.alarm_email,
                topic=alarm_topic,
            ),
        )
        self._described = Construct(scope, "Descriptions")
        self._watch(settings, storage)

    def _let_nudge(self) -> None:
        """Let the upload function wake the scheduler, and tell it which function that is."""
        scheduler = self.scheduler.function.function
        self.uploads.function.function.add_environment(Env.SCHEDULER.value, scheduler.function_name)
        for statement in nudge_calls(scheduler.function_arn):
            self.uploads.function.role.add_to_policy(statement)

    def _watch(self, settings: Settings, storage: StoragePart) -> None:
        """All alarms of the system are in this stack, where there is room for those of 50 queues;
        a stack has 500 resources at most."""
        self.alarms.scheduler_silent(self.scheduler.function.function)
        self.alarms.failed_starts()
        self.alarms.crashes()
        self.alarms.unreadable(SWEEP)
        self.alarms.dead_letters(
            "uploads",
            {
                "failed": self.uploads.dead_letters.queue_name,
                "undelivered": self.uploads.undelivered.queue_name,
            },
        )
        for name, queue in settings.queues.items():
            queues = storage.descriptions.names_of(self._described, name)
            self.alarms.dead_letters(f"queue {name}", job_letters(queues))
            self.alarms.oldest(name, queues, minutes=queue.alarm_age_minutes)
            if queue.metrics:
                self.alarms.failures(name)
            if queue.budgeted:
                self.alarms.paused(name)


def _check(code: FunctionsCode) -> None:
    """Refuse a package of which no function would start. Raises: BundleError."""
    if not code.package.isidentifier() or code.package == "remotejob":
        raise BundleError(
            f"FunctionsCode(folder={str(code.folder)!r}): the folder's name is the package's:"
            " letters, digits and underscores, and not remotejob"
        )
    for module in MODULES:
        found = (code.folder / f"{module}.py", code.folder / module / "__init__.py")
        if not any(file.is_file() for file in found):
            raise BundleError(
                f"{found[0]}: no such file; write it, with a `handler`, such as: from"
                f" {HANDLERS}.{module} import handler"
            )
