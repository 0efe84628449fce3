"""Scales the workers of a job queue: to none while it is empty, and always to enough.

Three alarms:

- *wake*: messages are visible and there is no worker → start one.
- *grow*: the visible and in-flight messages need more workers than there are → add as many.
- *idle*: no message has been visible or in flight for five minutes → stop all workers.

Why not the usual policies:

- Scaling on CPU, or on visible messages alone, stops busy workers: a worker in the middle of its
  last long job has a steady CPU and no visible messages (aws-cdk#20706, #9242). A running job is a
  message in flight, so we count both, and stop no worker until both are 0.
- Target tracking multiplies the number of workers by how far the metric is off, so it never leaves
  0 (copilot-cli#3376). Step scaling adds.
- We never stop some of the workers, because ECS chooses which ones. Workers protect themselves
  while they are busy, but that takes effect with a delay, and not for ever if there is a stream of
  short jobs. So all workers of a burst live until its last job ends.

A queue with a daily budget has a fourth metric: while the budget is spent, the scheduler reports it
as paused. Then what is visible does not count: no worker is started, and those there are stop once
nothing is in flight. An alarm of its own tells people.

If the last minute of a metric is late or missing:

- *wake* and *grow* use its last value, or 0 if there is none: SQS reports nothing for a lane that
  nobody has used for six hours, and the count of workers comes a minute or two late.
- *idle* assumes nothing, so it stops no worker. While a worker polls its lanes, SQS reports them.
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

from remotejob.cdk.queues import LANES, JobQueue
from remotejob.names import METRICS_NAMESPACE, PAUSED_METRIC, SYSTEM_DIMENSION

MINUTE: Final = Duration.minutes(1)
"""The shortest period that SQS reports."""

IDLE_MINUTES: Final = 5
COOLDOWN: Final = Duration.minutes(3)
"""The time until new workers appear in the metric; sooner, an alarm would add them twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingProps:
    """Options of `Scaling`."""

    cluster: ecs.ICluster
    service: ecs.IBaseService
    queue: JobQueue
    concurrency: int
    max_workers: int
    system: str
    """Name of the system, as its metrics have it."""
    queue_name: str
    budgeted: bool = False
    """Whether the queue may be paused because its daily budget is spent."""


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
        workers = {"workers": desired_workers(props.cluster, props.service)}
        paused = {"paused": _paused(props)} if props.budgeted else {}

        self._step(
            "Wake",
            {**visible, **workers, **paused},
            _unless(
                paused, f"IF({_last_known('workers')} < 1 AND {_last_known(*visible)} > 0, 1, 0)"
            ),
            "Something is visible and there is no worker: start one",
            steps=[(0, 1)],
        )
        self._step(
            "Grow",
            {**backlog, **workers, **paused},
            _unless(
                paused,
                f"CEIL(({_last_known(*backlog)}) / {props.concurrency}) - {_last_known('workers')}",
            ),
            "What is visible and in flight needs more workers than there are: add them",
            steps=list(_doubling(props.max_workers)),
        )
        idle = self._alarm(
            "IdleAlarm",
            {**backlog, **paused},
            f"{_unless(paused, ' + '.join(visible))} + {' + '.join(in_flight)}",
            f"Nothing visible and nothing in flight for {IDLE_MINUTES} minutes: stop all workers",
            threshold=0,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
            minutes=IDLE_MINUTES,
        )
        stop = self._action("Idle", scaling.AdjustmentType.EXACT_CAPACITY)
        stop.add_adjustment(adjustment=0, upper_bound=0)
        idle.add_alarm_action(actions.ApplicationScalingAction(stop))
        if props.budgeted:
            self._alarm(
                "PausedAlarm",
                paused,
                _last_known("paused"),
                f"Queue {props.queue_name} has spent its daily budget: its jobs wait for 00:00 UTC",
                threshold=1,
                comparison=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                minutes=1,
            )

    def _step(
        self,
        id: str,  # noqa: A002
        metrics: Mapping[str, cloudwatch.IMetric],
        expression: str,
        description: str,
        *,
        steps: list[tuple[int, int]],
    ) -> None:
        """An alarm from 1 on; each step adds that many workers."""
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
        """The role that AWS keeps for this in every account; the CDK would create another."""
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


def desired_workers(cluster: ecs.ICluster, service: ecs.IBaseService) -> cloudwatch.Metric:
    """The desired number of workers, which includes those that are still starting."""
    return cloudwatch.Metric(
        namespace="ECS/ContainerInsights",
        metric_name="DesiredTaskCount",
        dimensions_map={
            "ClusterName": cluster.cluster_name,
            "ServiceName": service.service_name,
        },
        statistic="Maximum",
        period=MINUTE,
    )


def _paused(props: ScalingProps) -> cloudwatch.Metric:
    """1 while the scheduler reports that the daily budget is spent; nothing at other times."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=PAUSED_METRIC,
        dimensions_map={SYSTEM_DIMENSION: props.system, "Queue": props.queue_name},
        statistic="Maximum",
        period=MINUTE,
    )


def _unless(paused: Mapping[str, object], expression: str) -> str:
    """The expression, but 0 while the queue is paused."""
    return f"IF({_last_known(*paused)} > 0, 0, {expression})" if paused else expression


def _last_known(*metrics: str) -> str:
    return " + ".join(f"FILL(FILL({metric}, REPEAT), 0)" for metric in metrics)


def _doubling(most: int) -> Iterator[tuple[int, int]]:
    """Steps as offsets from 1: if 1 worker is missing, add 1; for 2 or 3, add 2; from 4 on, 4; …"""
    add = 1
    while add <= most:
        yield add - 1, add
        add *= 2
