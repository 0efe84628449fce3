"""The metrics of a system, for dashboards and alarms of somebody's own."""

from __future__ import annotations

from collections.abc import Callable

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from remotejob.cdk.queues import LANES
from remotejob.cdk.storage_part import StoragePart
from remotejob.cdk.workers_part import WorkersPart
from remotejob.domain.errors import SettingsError
from remotejob.domain.metric_names import Count, Seconds
from remotejob.names import (
    METRICS_NAMESPACE,
    PAUSED_METRIC,
    SYSTEM_DIMENSION,
    UNREADABLE_METRIC,
    WORKERS_METRIC,
    QueueKey,
)
from remotejob.settings import Settings


class SystemMetrics:
    """Metrics of a system. Each is of one queue, whose name may be left out if there is one alone.

    Those that workers write need the queue's setting `metrics`, which is on by default.

    Raises: SettingsError, for a queue that the settings don't have.
    """

    _settings: Settings
    storage: StoragePart
    workers: WorkersPart

    def metric_backlog(self, queue: str | None = None) -> cloudwatch.MathExpression:
        """Jobs that could start now, on all lanes. SQS reports nothing for a lane that nobody has
        used for six hours. Source: Amazon SQS Developer Guide, "Available CloudWatch metrics"."""
        return self._of_lanes(
            "backlog", queue, lambda lane: lane.metric_approximate_number_of_messages_visible
        )

    def metric_in_flight(self, queue: str | None = None) -> cloudwatch.MathExpression:
        """Jobs that workers hold, on all lanes."""
        return self._of_lanes(
            "in_flight", queue, lambda lane: lane.metric_approximate_number_of_messages_not_visible
        )

    def metric_oldest(self, queue: str | None = None) -> cloudwatch.MathExpression:
        """Age in seconds of the oldest message of any lane."""
        return self._of_lanes(
            "oldest",
            queue,
            lambda lane: lane.metric_approximate_age_of_oldest_message,
            combined="MAX([{}])",
            between=", ",
        )

    def metric_dead_letters(self, queue: str | None = None) -> cloudwatch.Metric:
        """Messages that no worker could read, or that came back too often."""
        queues = self.storage.queues[self._queue(queue)].queues
        return queues[QueueKey.DEAD_LETTER].metric_approximate_number_of_messages_visible(
            statistic="Maximum"
        )

    def metric_workers(self, queue: str | None = None) -> cloudwatch.Metric:
        """Workers that are wanted, those that start included; nothing while there are none."""
        return self._written(WORKERS_METRIC, queue, "Maximum")

    def metric_completed(self, queue: str | None = None) -> cloudwatch.Metric:
        """Jobs that completed."""
        return self._written(Count.COMPLETED.value, queue, "Sum")

    def metric_failed(self, queue: str | None = None) -> cloudwatch.Metric:
        """Jobs that failed for good."""
        return self._written(Count.FAILED.value, queue, "Sum")

    def metric_retried(self, queue: str | None = None) -> cloudwatch.Metric:
        """Runs that failed, but whose job will run again."""
        return self._written(Count.RETRIED.value, queue, "Sum")

    def metric_seconds_queued(self, queue: str | None = None) -> cloudwatch.Metric:
        """Seconds from when a job was due to its first run, by default the 95th percentile."""
        return self._written(Seconds.QUEUED.value, queue, "p95")

    def metric_seconds_running(self, queue: str | None = None) -> cloudwatch.Metric:
        """Seconds of a run, by default the 95th percentile."""
        return self._written(Seconds.RUNNING.value, queue, "p95")

    def metric_paused(self, queue: str | None = None) -> cloudwatch.Metric:
        """1 in each minute in which the queue is paused because its daily budget is spent."""
        return self._written(PAUSED_METRIC, queue, "Maximum")

    def metric_unreadable(self) -> cloudwatch.Metric:
        """Items of the job table that the scheduler could not read, of the whole system."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=UNREADABLE_METRIC,
            dimensions_map={SYSTEM_DIMENSION: self._settings.system.name},
            statistic="Sum",
        )

    def _of_lanes(
        self,
        what: str,
        queue: str | None,
        metric: Callable[[sqs.Queue], Callable[..., cloudwatch.Metric]],
        *,
        combined: str = "{}",
        between: str = " + ",
    ) -> cloudwatch.MathExpression:
        name = self._queue(queue)
        # ids of their own, so that metrics of several queues fit into one graph
        prefix = f"{what}_{self._settings.system.name}__{name}".replace("-", "_")
        lanes = {
            f"{prefix}_{key.value}": metric(self.storage.queues[name].queues[key])(
                statistic="Maximum"
            )
            for key in LANES
        }
        return cloudwatch.MathExpression(
            expression=combined.format(between.join(f"FILL({lane}, 0)" for lane in lanes)),
            using_metrics={**lanes},
            label=f"{name} {what.replace('_', ' ')}",
        )

    def _written(self, name: str, queue: str | None, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={
                SYSTEM_DIMENSION: self._settings.system.name,
                "Queue": self._queue(queue),
            },
            statistic=statistic,
        )

    def _queue(self, name: str | None) -> str:
        queues = self._settings.queues
        if name is None and len(queues) == 1:
            return next(iter(queues))
        if name is None or name not in queues:
            raise SettingsError(f"queue={name!r}: name one of {', '.join(queues)}")
        return name
