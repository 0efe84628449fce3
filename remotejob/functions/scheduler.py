"""Lambda: runs the scheduler's tick once a minute, and the sweep every few hours.

Whoever invokes it may also have it read all dead letters now.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from remotejob.backends.aws import from_environment
from remotejob.functions.logs import new_logger, share_logger
from remotejob.functions.paused_queues import tell_of_paused_queues
from remotejob.jobs.scheduler.capacity import shift_capacity
from remotejob.jobs.scheduler.dead_letters import read_dead_letters
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import METRICS_NAMESPACE, SYSTEM_DIMENSION, UNREADABLE_METRIC
from remotejob.ports import Installation

logger = new_logger("scheduler")
share_logger(logger)

_RESERVE: Final = timedelta(seconds=20)
"""Time to finish the batch under way when the time is up."""

_WORK: Final = {"tick": tick, "sweep": sweep, "letters": read_dead_letters}


@cache
def _installation() -> Installation:
    return from_environment()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Do what the rule's input asks for: `{"do": "tick"}` or `{"do": "sweep"}`.

    `{"do": "letters"}` reads the dead letters of all queues, whosever turn it is.

    Raises: ValueError, when it asks for anything else.
    """
    work = _WORK.get(event.get("do", ""))
    if work is None:
        raise ValueError(f"do={event.get('do')!r}: use one of {', '.join(_WORK)}")
    reserve_ms = _RESERVE / timedelta(milliseconds=1)
    counts = work(
        _installation(), time_is_up=lambda: context.get_remaining_time_in_millis() < reserve_ms
    )
    if work is tick and (paused := tell_of_paused_queues(_installation(), logger)):
        counts["queues paused"] = paused
    if work is tick:
        counts.update(shift_capacity(_installation()))
    logger.info("done", extra={"counts": counts})
    if counts["unreadable"]:
        _write_metric(counts["unreadable"])
    return dict(counts)


def _write_metric(unreadable: int) -> None:
    """Write a line from which CloudWatch Logs makes a metric; the stack has an alarm on it.

    Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
    """
    # import it only when needed: it makes a cold start longer
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
        AmazonCloudWatchEMFProvider,
    )

    document = AmazonCloudWatchEMFProvider(namespace=METRICS_NAMESPACE, service="")
    document.add_dimension(SYSTEM_DIMENSION, _installation().name)
    document.add_metric(UNREADABLE_METRIC, "Count", unreadable)
    print(json.dumps(document.serialize_metric_set()))
