"""A worker's metrics as lines of its log, in the format that CloudWatch reads out of logs.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format". CloudWatch Logs looks
for it in all lines that are sent to it; the `awslogs` driver needs no setting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from remotejob.domain.errors import SettingsError
from remotejob.names import Env
from remotejob.worker.metrics import Totals

NAMESPACE: Final = "remotejob"

log = logging.getLogger("remotejob.metrics")


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for metrics. Raises: SettingsError."""
    said = environment.get(Env.METRICS, "off")
    if said not in ("on", "off"):
        raise SettingsError(f"{Env.METRICS}={said!r}: use on or off")
    return said == "on"


def writer(*, system: str, queue: str) -> Callable[[Totals], None]:
    """What writes a worker's sums as one line each time.

    Dimensions are the system and the queue. Not the task, nor the worker: CloudWatch bills each
    combination of a name and dimensions as a metric of its own.
    """
    # a level that hides lines is meant for what people read
    log.setLevel(logging.INFO)

    def write(totals: Totals) -> None:
        # not before there is something to write: it takes a fifth of what starting a worker may
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
            AmazonCloudWatchEMFProvider,
        )

        # an empty service: by default it were a third dimension, if the environment names one
        document = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service="")
        document.add_dimension("System", system)
        document.add_dimension("Queue", queue)
        for what, count in totals.counts.items():
            document.add_metric(what.value, "Count", count)
        for measured, values in totals.seconds.items():
            for value in values:
                document.add_metric(measured.value, "Seconds", round(value, 3))
        log.info({"message": "metrics", **document.serialize_metric_set()})

    return write
