"""Lambda: runs the scheduler's tick once a minute, and the sweep every few hours.

With each tick it scales the workers. Whoever invokes it may also have it read all dead letters now.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from remotejob.backends.aws import from_environment
from remotejob.functions.logs import new_logger, share_logger
from remotejob.functions.paused_queues import tell_of_paused_queues
from remotejob.functions.scaled_workers import tell_of_workers
from remotejob.jobs.scheduler.capacity import shift_capacity
from remotejob.jobs.scheduler.dead_letters import read_dead_letters
from remotejob.jobs.scheduler.lapsed import Deadline
from remotejob.jobs.scheduler.scale import scale
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import METRICS_NAMESPACE, SYSTEM_DIMENSION, UNREADABLE_METRIC
from remotejob.ports import Installation

logger = new_logger("scheduler")
share_logger(logger)

_RESERVE: Final = timedelta(seconds=20)
"""Time to finish the batch under way when the time is up."""

_WORK: Final = {"sweep": sweep, "letters": read_dead_letters}
_TASKS: Final = ("tick", *_WORK, "scale")


@cache
def _installation() -> Installation:
    return replace(from_environment(), actor="scheduler")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Do what the rule's input asks for: `{"do": "tick"}` or `{"do": "sweep"}`.

    `{"do": "scale", "queues": ["thumbnails"]}` scales the workers of some queues, in which somebody
    has just put a message; the upload function asks for it.
    `{"do": "letters"}` reads the dead letters of all queues, whosever turn it is.

    Raises: ValueError, when it asks for anything else.
    """
    do = event.get("do", "")
    if do not in _TASKS:
        raise ValueError(f"do={event.get('do')!r}: use one of {', '.join(_TASKS)}")
    if do == "scale":
        return dict(_scale(queues=_named(event), nudged=True))
    reserve_ms = _RESERVE / timedelta(milliseconds=1)

    def time_is_up() -> bool:
        return context.get_remaining_time_in_millis() < reserve_ms

    work = _WORK.get(do, _tick)
    counts = work(_installation(), time_is_up=time_is_up)
    logger.info("done", extra={"counts": counts})
    if counts["unreadable"]:
        _write_metric(counts["unreadable"])
    return dict(counts)


def _tick(installation: Installation, *, time_is_up: Deadline) -> Counter[str]:
    # first, since a tick with much to send takes minutes
    scaled = _scale()
    counts = tick(installation, time_is_up=time_is_up)
    if counts["sent"] and not time_is_up():
        # what was due has waited long enough: its workers start now, not a minute later
        scaled += _scale()
    if paused := tell_of_paused_queues(installation, logger):
        counts["queues paused"] = paused
    return counts + scaled + shift_capacity(installation)


def _named(event: Mapping[str, Any]) -> list[str]:
    """The queues that an event names. Raises: ValueError."""
    queues = event.get("queues")
    if not isinstance(queues, list) or not all(isinstance(name, str) for name in queues):
        raise ValueError(f"queues={str(queues)[:200]!r}: give a list of names of queues")
    return queues


def _scale(queues: Collection[str] | None = None, *, nudged: bool = False) -> Counter[str]:
    """Scale the workers, and count the queues that changed. It raises nothing."""
    try:
        scaled = scale(_installation(), queues=queues, nudged=nudged)
        tell_of_workers(scaled, _installation(), logger)
    except Exception:
        # the scheduler's other work must go on
        logger.exception("workers not scaled")
        return Counter({"scaling failed": 1})
    return Counter(scaled=sum(one.desired != one.before for one in scaled))


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
