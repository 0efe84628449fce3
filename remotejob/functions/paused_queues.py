"""Tells people, and the scaling, which queues are paused because their daily budget is spent.

A line in the log for each paused queue, and a metric in it in the embedded metric format, once a
minute: an alarm of the queue turns on with it, and its workers are scaled in.
"""

from __future__ import annotations

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from remotejob.jobs.queries.budgets import paused_queues
from remotejob.names import METRICS_NAMESPACE, PAUSED_METRIC, SYSTEM_DIMENSION
from remotejob.ports import Installation


def tell_of_paused_queues(installation: Installation, logger: Logger) -> int:
    """Log each paused queue; return how many there are. It raises nothing."""
    try:
        paused = paused_queues(installation)
    except Exception:
        # the scheduler's own work must go on
        logger.exception("daily budgets not read")
        return 0
    for queue, reason in paused.items():
        document = AmazonCloudWatchEMFProvider(namespace=METRICS_NAMESPACE, service="")
        document.add_dimension(SYSTEM_DIMENSION, installation.name)
        document.add_dimension("Queue", queue)
        document.add_metric(PAUSED_METRIC, "Count", 1)
        # the metric's own fields, at the top of the line, where CloudWatch looks for them
        logger.error(reason, extra={"queue": queue, **document.serialize_metric_set()})
    return len(paused)
