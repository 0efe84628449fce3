"""Tells people how the workers fare: metrics in the log, in the embedded metric format.

A queue without workers writes nothing, because CloudWatch charges for each hour of a metric.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from aws_lambda_powertools import Logger

from remotejob.jobs.scheduler.scale import Scaled
from remotejob.names import (
    CRASHES_METRIC,
    FAILED_STARTS_METRIC,
    METRICS_NAMESPACE,
    SYSTEM_DIMENSION,
    WORKERS_METRIC,
)
from remotejob.ports import Installation

CRASH_LOOP: Final = 3
"""Crashes of one queue's workers within 15 minutes from which on they are told."""


def tell_of_workers(scaled: Sequence[Scaled], installation: Installation, logger: Logger) -> None:
    """Log what people should see to, and write the metrics that the alarms read.

    The two about faults are of the whole system, so that each costs one alarm; the log names the
    queue.
    """
    failed = crashed = 0
    for one in scaled:
        if one.desired:
            _write({SYSTEM_DIMENSION: installation.name, "Queue": one.queue}, WORKERS_METRIC,
                   one.desired)  # fmt: skip
        note = one.note
        if note.state.failing_since_ms is not None:
            # at 0 workers nothing starts, and nothing fails
            failed += note.failed_starts
            logger.error(
                "workers of queue %r fail to start: %s; remotejob doctor says more",
                one.queue, note.last_failure or note.reason, extra={"queue": one.queue},
            )  # fmt: skip
        if note.crashes >= CRASH_LOOP:
            crashed += note.crashes
            logger.error(
                "workers of queue %r crash: %d within 15 minutes, the last one: %s",
                one.queue, note.crashes, note.last_failure, extra={"queue": one.queue},
            )  # fmt: skip
    system = {SYSTEM_DIMENSION: installation.name}
    if failed:
        _write(system, FAILED_STARTS_METRIC, failed)
    if crashed:
        _write(system, CRASHES_METRIC, crashed)


def _write(dimensions: Mapping[str, str], metric: str, value: int) -> None:
    """Write a line from which CloudWatch Logs makes a metric.

    Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
    """
    # import it only when needed: it makes a cold start longer
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
        AmazonCloudWatchEMFProvider,
    )

    document = AmazonCloudWatchEMFProvider(namespace=METRICS_NAMESPACE, service="")
    for name, content in dimensions.items():
        document.add_dimension(name, content)
    document.add_metric(metric, "Count", value)
    print(json.dumps(document.serialize_metric_set()))
