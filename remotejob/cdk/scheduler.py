"""The scheduler: a function that sends due jobs, rescues stale ones, finds lost ones and scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from remotejob.cdk.functions import PythonFunction, PythonFunctionProps

TIMEOUT: Final = Duration.minutes(5)
MEMORY_MIB: Final = 1769
"""One whole vCPU. Source: AWS Lambda, "Configure Lambda function memory"."""

TICK: Final = Duration.minutes(1)
SWEEP: Final = Duration.hours(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerProps:
    """Options of `Scheduler`."""

    function: PythonFunctionProps
    handler: str


class Scheduler(Construct):
    """The scheduler function and the two rules that start it."""

    def __init__(self, scope: Construct, id: str, props: SchedulerProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        # No reserved concurrency: a slow tick may overlap the next, because its writes are
        # conditional.
        self.function = PythonFunction(
            self,
            "Function",
            props.function,
            handler=props.handler,
            description="Sends what is due, rescues what is stale, sweeps, scales",
            timeout=TIMEOUT,
            memory_mib=MEMORY_MIB,
        )
        # One retry, and no dead-letter queue: the next tick does what this one did not, and a
        # backlog of old ticks would only repeat it.
        lambda_.EventInvokeConfig(
            self,
            "Retry",
            function=self.function.function,
            retry_attempts=1,
            max_event_age=Duration.minutes(2),
        )
        self._every(TICK, do="tick")
        self._every(SWEEP, do="sweep")

    def _every(self, interval: Duration, *, do: str) -> None:
        rule = events.Rule(
            self,
            do.title(),
            description=f"Tells the scheduler: {do}",
            schedule=events.Schedule.rate(interval),
        )
        rule.add_target(
            targets.LambdaFunction(
                self.function.function,
                event=events.RuleTargetInput.from_object({"do": do}),
                max_event_age=Duration.minutes(2),
                retry_attempts=1,
            )
        )
