"""Writes a worker's metrics into its log, in the embedded metric format of CloudWatch.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format". CloudWatch Logs looks
for this format in every line it receives; the `awslogs` driver needs no setting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from remotejob.domain.errors import SettingsError
from remotejob.names import METRICS_NAMESPACE, SYSTEM_DIMENSION, Env
from remotejob.worker.metrics import Totals

METRICS: Final = "remotejob.metrics"
"""The logger of the lines that are metrics."""

log = logging.getLogger(METRICS)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for metrics. Raises: SettingsError."""
    value = environment.get(Env.METRICS, "off")
    if value not in ("on", "off"):
        raise SettingsError(f"{Env.METRICS}={value!r}: use on or off")
    return value == "on"


def writer(*, system: str, queue: str) -> Callable[[Totals], None]:
    """A function that writes a worker's totals as one line.

    The dimensions are the system and the queue, but not the task or the worker, because CloudWatch
    bills each combination of name and dimensions as a metric of its own.
    """
    # the configured log level is for lines that people read
    log.setLevel(logging.INFO)

    def write(totals: Totals) -> None:
        # import it only when needed: it takes a fifth of the time that a worker may take to start
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
            AmazonCloudWatchEMFProvider,
        )

        # without service="", a service named in the environment would be a third dimension
        document = AmazonCloudWatchEMFProvider(namespace=METRICS_NAMESPACE, service="")
        document.add_dimension(SYSTEM_DIMENSION, system)
        document.add_dimension("Queue", queue)
        for what, count in totals.counts.items():
            document.add_metric(what.value, "Count", count)
        for measured, values in totals.seconds.items():
            for value in values:
                document.add_metric(measured.value, "Seconds", round(value, 3))
        log.info({"message": "metrics", **document.serialize_metric_set()})

    return write
