"""How many workers a job queue has: none while there is nothing to do, and never one too few.

Three alarms, each a sentence:

- *wake*: something is visible and there is no worker → one worker.
- *grow*: visible and in flight together need more workers than there are → as many more.
- *idle*: nothing visible and nothing in flight for five minutes → no worker.

Why not what is usual:

- Scaling on CPU, or on visible messages alone, stops busy workers: a worker in the middle of its
  last long job uses a steady CPU and has nothing visible (aws-cdk#20706, #9242). A job that runs
  is a message in flight, so both are counted, and nothing is stopped until both are 0.
- Target tracking multiplies the workers there are by how far the metric is off, and so never
  leaves 0 (copilot-cli#3376). Steps add.
- Between one worker and none lies no scaling in: it is the service that chooses which worker to
  stop. Workers protect themselves while they are busy, yet not from one second to the next, nor
  for ever where there is a stream of short jobs. So the last job of a burst keeps the burst's
  workers, each at most until it ends.

What is known of a metric when its last minute is late or missing:

- for *wake* and *grow*, what it was, and 0 if it never was: SQS reports nothing of a lane that
  nobody touched for six hours, and the service's count comes a minute or two late.
- for *idle*, nothing is assumed, so the alarm keeps quiet: not knowing is no reason to stop
  anybody. While a worker polls its lanes, SQS reports them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.queues import LANES, JobQueue

MINUTE: Final = Duration.minutes(1)
"""The finest that SQS reports."""

IDLE_MINUTES: Final = 5
COOLDOWN: Final = Duration.minutes(3)
"""From asking for workers to seeing them counted; asking again sooner would ask twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingProps:
    """Options of `Scaling`."""

    cluster: ecs.ICluster
    service: ecs.IBaseService
    queue: JobQueue
    concurrency: int
    max_workers: int


class Scaling(Construct):
    """Keeps the service's workers between 0 and `max_workers`, by backlog."""

    def __init__(self, scope: Construct, id: str, props: ScalingProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._target = scaling.ScalableTarget(
            self,
            "Target",
            service_namespace=scaling.ServiceNamespace.ECS,
            resource_id=f"service/{props.cluster.cluster_name}/{props.service.service_name}",
            scalable_dimension="ecs:service:DesiredCount",
            min_capacity=0,
            max_capacity=props.max_workers,
            role=self._service_linked_role(),
        )
        visible = {
            f"visible_{key}": queue.metric_approximate_number_of_messages_visible(
                period=MINUTE, statistic="Maximum"
            )
            for key, queue in _lanes(props.queue)
        }
        in_flight = {
            f"flying_{key}": queue.metric_approximate_number_of_messages_not_visible(
                period=MINUTE, statistic="Maximum"
            )
            for key, queue in _lanes(props.queue)
        }
        backlog = {**visible, **in_flight}
        workers = {"workers": _desired_workers(props)}

        self._step(
            "Wake",
            {**visible, **workers},
            f"IF({_last_known('workers')} < 1 AND {_last_known(*visible)} > 0, 1, 0)",
            "Something is visible and there is no worker: start one",
            steps=[(0, 1)],
        )
        self._step(
            "Grow",
            {**backlog, **workers},
            f"CEIL(({_last_known(*backlog)}) / {props.concurrency}) - {_last_known('workers')}",
            "What is visible and in flight needs more workers than there are: add them",
            steps=list(_doubling(props.max_workers)),
        )
        idle = self._alarm(
            "IdleAlarm",
            backlog,
            " + ".join(backlog),
            f"Nothing visible and nothing in flight for {IDLE_MINUTES} minutes: stop all workers",
            threshold=0,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            minutes=IDLE_MINUTES,
        )
        stop = self._action("Idle", scaling.AdjustmentType.EXACT_CAPACITY)
        stop.add_adjustment(adjustment=0, upper_bound=0)
        idle.add_alarm_action(actions.ApplicationScalingAction(stop))

    def _step(
        self,
        id: str,  # noqa: A002
        metrics: Mapping[str, cloudwatch.IMetric],
        expression: str,
        description: str,
        *,
        steps: list[tuple[int, int]],
    ) -> None:
        """An alarm at 1, and how many workers each step above it adds."""
        alarm = self._alarm(
            f"{id}Alarm",
            metrics,
            expression,
            description,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            minutes=1,
        )
        action = self._action(id, scaling.AdjustmentType.CHANGE_IN_CAPACITY)
        bounds = [lower for lower, _ in steps[1:]]
        for (lower, add), upper in zip(steps, [*bounds, None], strict=True):
            action.add_adjustment(adjustment=add, lower_bound=lower, upper_bound=upper)
        alarm.add_alarm_action(actions.ApplicationScalingAction(action))

    def _alarm(
        self,
        id: str,  # noqa: A002
        metrics: Mapping[str, cloudwatch.IMetric],
        expression: str,
        description: str,
        *,
        threshold: int,
        comparison: cloudwatch.ComparisonOperator,
        minutes: int,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            metric=cloudwatch.MathExpression(
                expression=expression, using_metrics=metrics, period=MINUTE
            ),
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=minutes,
            datapoints_to_alarm=minutes,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _action(
        self,
        id: str,  # noqa: A002
        adjustment: scaling.AdjustmentType,
    ) -> scaling.StepScalingAction:
        return scaling.StepScalingAction(
            self,
            id,
            scaling_target=self._target,
            adjustment_type=adjustment,
            cooldown=COOLDOWN,
            metric_aggregation_type=scaling.MetricAggregationType.MAXIMUM,
        )

    def _service_linked_role(self) -> iam.IRole:
        """The role AWS keeps for this in every account; by default the CDK makes one more."""
        arn = Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role/aws-service-role/ecs.application-autoscaling.amazonaws.com",
            resource_name="AWSServiceRoleForApplicationAutoScaling_ECSService",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        return iam.Role.from_role_arn(self, "ServiceRole", arn)


def _lanes(queue: JobQueue) -> list[tuple[str, sqs.Queue]]:
    return [(key.value, queue.queues[key]) for key in LANES]


def _desired_workers(props: ScalingProps) -> cloudwatch.Metric:
    """How many workers were asked for: those that are still starting count."""
    return cloudwatch.Metric(
        namespace="ECS/ContainerInsights",
        metric_name="DesiredTaskCount",
        dimensions_map={
            "ClusterName": props.cluster.cluster_name,
            "ServiceName": props.service.service_name,
        },
        statistic="Maximum",
        period=MINUTE,
    )


def _last_known(*metrics: str) -> str:
    return " + ".join(f"FILL(FILL({metric}, REPEAT), 0)" for metric in metrics)


def _doubling(most: int) -> Iterator[tuple[int, int]]:
    """Steps as offsets from 1: lacking 1 worker adds 1, lacking 2 or 3 adds 2, from 4 on 4, …"""
    add = 1
    while add <= most:
        yield add - 1, add
        add *= 2
