"""The alarms of a system, which are for people: nothing acts on them but a mail.

CloudWatch charges for each metric of an alarm, by the hour, whatever its state. So there is one
alarm a fault, not one a cause, and what the scheduler reports is of the whole system: its log names
the queue. docs/cost.md counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from remotejob.cdk.queues import LANES, UNREAD
from remotejob.domain.metric_names import Count
from remotejob.names import (
    CRASHES_METRIC,
    FAILED_STARTS_METRIC,
    METRICS_NAMESPACE,
    PAUSED_METRIC,
    SYSTEM_DIMENSION,
    UNREADABLE_METRIC,
    QueueKey,
)

MOST_FAILED: Final = 0.5
"""Part of the jobs that ended within 15 minutes from which on failures are told."""

FEWEST_FAILED: Final = 5
"""Fewer failed jobs within 15 minutes are told by their status messages alone."""

SILENT_MINUTES: Final = 5

MOST_METRICS: Final = 10
"""Source: Amazon CloudWatch User Guide, "CloudWatch service quotas", alarms on metric math."""


class Chapter(StrEnum):
    """The chapters of docs/runbook.md."""

    DEAD_LETTERS = "dead-letters"
    OLDEST = "oldest-message"
    FAILURES = "failures"
    SILENT = "scheduler-silent"
    FAILED_STARTS = "failed-starts"
    CRASHES = "worker-crashes"
    UNREADABLE = "unreadable-items"
    PAUSED = "paused-queue"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmsProps:
    """Options of `Alarms`."""

    system: str
    """Name of the system, as its metrics have it."""
    runbook: str
    """Where docs/runbook.md is; each alarm names its chapter there."""
    email: str | None = None
    """Who gets a mail when an alarm turns on or off, after confirming that they want it."""
    topic: sns.ITopic | None = None
    """A topic to use instead of a new one."""


class Alarms(Construct):
    """The alarms, and the topic that they report to; without a mail or a topic, they only show."""

    def __init__(self, scope: Construct, id: str, props: AlarmsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._props = props
        self.topic = props.topic
        if self.topic is None and props.email is not None:
            self.topic = self._mail(props.email)

    def dead_letters(self, name: str, queues: Mapping[str, str]) -> None:
        """Something is in one of these dead-letter queues, at most ten.

        queues: the names of SQS queues, each by a name of letters and underscores.
        """
        metrics = {
            key: _of_sqs("ApproximateNumberOfMessagesVisible", queue)
            for key, queue in queues.items()
        }
        self._alarm(
            f"DeadLetters{_noun(name)}",
            Chapter.DEAD_LETTERS,
            f"Dead letters of {name}: messages that nobody could handle",
            _sum(metrics),
            at_least=1,
        )

    def oldest(self, name: str, queues: Mapping[QueueKey, str], *, minutes: int) -> None:
        """A message of a queue is older than that, counted from when it was sent.

        queues: the names of its SQS queues.
        """
        metrics: dict[str, cloudwatch.IMetric] = {
            lane.value: _of_sqs("ApproximateAgeOfOldestMessage", queues[lane]) for lane in LANES
        }
        self._alarm(
            f"Oldest{_noun(name)}",
            Chapter.OLDEST,
            f"A job of queue {name} has waited, or run, for {minutes} minutes",
            cloudwatch.MathExpression(
                expression=f"MAX([{', '.join(f'FILL({key}, 0)' for key in metrics)}])",
                using_metrics=metrics,
                period=_MINUTES_5,
            ),
            at_least=60 * minutes,
        )

    def failures(self, name: str) -> None:
        """Many of the jobs of a queue that end, fail; its workers must write metrics."""
        period = Duration.minutes(15)
        metrics: dict[str, cloudwatch.IMetric] = {
            key: self._written(metric, {"Queue": name}, statistic="Sum", period=period)
            for key, metric in (("failed", Count.FAILED.value), ("done", Count.COMPLETED.value))
        }
        self._alarm(
            f"Failures{_noun(name)}",
            Chapter.FAILURES,
            f"At least {MOST_FAILED:.0%} of the jobs of queue {name} failed",
            cloudwatch.MathExpression(
                expression=f"IF(FILL(failed, 0) >= {FEWEST_FAILED},"
                " FILL(failed, 0) / (FILL(failed, 0) + FILL(done, 0)), 0)",
                using_metrics=metrics,
                period=period,
            ),
            at_least=MOST_FAILED,
        )

    def paused(self, name: str) -> None:
        """A queue has spent its daily budget."""
        self._alarm(
            f"Paused{_noun(name)}",
            Chapter.PAUSED,
            f"Queue {name} has spent its daily budget: its jobs wait for 00:00 UTC",
            self._written(PAUSED_METRIC, {"Queue": name}),
            at_least=1,
        )

    def scheduler_silent(self, function: lambda_.IFunction) -> None:
        """The scheduler has not run without an error: nothing is sent when due, nothing scales."""
        metrics: dict[str, cloudwatch.IMetric] = {
            "runs": function.metric_invocations(period=_MINUTES_5, statistic="Sum"),
            "errors": function.metric_errors(period=_MINUTES_5, statistic="Sum"),
        }
        self._alarm(
            "SchedulerSilent",
            Chapter.SILENT,
            f"The scheduler has not succeeded for {SILENT_MINUTES} minutes",
            cloudwatch.MathExpression(
                expression="1 - (FILL(runs, 0) - FILL(errors, 0))",
                using_metrics=metrics,
                period=_MINUTES_5,
            ),
            at_least=1,
            # a function that is never invoked reports nothing
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def failed_starts(self) -> None:
        """Workers fail to start, and no more are tried."""
        self._alarm(
            "FailedStarts",
            Chapter.FAILED_STARTS,
            "Workers fail to start: no image, no permission, no capacity, or tasks that do not"
            " import",
            self._written(FAILED_STARTS_METRIC),
            at_least=1,
        )

    def crashes(self) -> None:
        """Workers run, and fail again and again."""
        self._alarm(
            "WorkerCrashes",
            Chapter.CRASHES,
            "Workers crash again and again, such as for lack of memory",
            self._written(CRASHES_METRIC),
            at_least=1,
        )

    def unreadable(self, period: Duration) -> None:
        """Items of the table cannot be read; it is over once the sweep, which reads all, finds
        none. period: the sweep's."""
        self._alarm(
            "Unreadable",
            Chapter.UNREADABLE,
            "Items of the job table cannot be read: run remotejob doctor",
            self._written(UNREADABLE_METRIC, statistic="Sum", period=period),
            at_least=1,
        )

    def _written(
        self,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        *,
        statistic: str = "Maximum",
        period: Duration | None = None,
    ) -> cloudwatch.Metric:
        """A metric that workers or the scheduler write, of the whole system if not of a queue."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={SYSTEM_DIMENSION: self._props.system, **(dimensions or {})},
            statistic=statistic,
            period=period or _MINUTES_5,
        )

    def _alarm(
        self,
        id: str,  # noqa: A002
        chapter: Chapter,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        at_least: float,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=f"remotejob {self._props.system}: {description}."
            f" {self._props.runbook}#{chapter}",
            metric=metric,
            threshold=at_least,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=missing,
        )
        if self.topic is not None:
            alarm.add_alarm_action(actions.SnsAction(self.topic))
            alarm.add_ok_action(actions.SnsAction(self.topic))

    def _mail(self, address: str) -> sns.Topic:
        topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # A policy of its own replaces the default, which lets the account's services publish.
        # Source: Amazon CloudWatch User Guide, "Using Amazon SNS alarms", permissions.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": topic.stack.account}},
            )
        )
        topic.add_subscription(subscriptions.EmailSubscription(address))
        return topic


_MINUTES_5: Final = Duration.minutes(5)


def _sum(metrics: Mapping[str, cloudwatch.IMetric]) -> cloudwatch.IMetric:
    """One metric stands for itself."""
    if len(metrics) > MOST_METRICS:
        raise ValueError(f"{len(metrics)} metrics: an alarm has {MOST_METRICS} at most")
    if len(metrics) == 1:
        return next(iter(metrics.values()))
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({key}, 0)" for key in metrics),
        using_metrics={**metrics},
        period=_MINUTES_5,
    )


def _noun(name: str) -> str:
    """A name as a part of a construct's id."""
    return "".join(part.title() for part in name.replace("-", " ").split())


def job_letters(queues: Mapping[QueueKey, str]) -> dict[str, str]:
    """The dead-letter queues among the SQS queues of a job queue, by names for an alarm."""
    return {
        "pending": queues[QueueKey.DEAD_LETTER],
        **{key.value: queues[unread] for key, unread in UNREAD.items()},
    }


def _of_sqs(metric: str, queue: str) -> cloudwatch.Metric:
    """Source: Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS"."""
    return cloudwatch.Metric(
        namespace="AWS/SQS",
        metric_name=metric,
        dimensions_map={"QueueName": queue},
        statistic="Maximum",
        period=_MINUTES_5,
    )
