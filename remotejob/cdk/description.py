"""The system description, in which the library finds what was built: see `names.SystemKey`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import CfnElement, Stack
from constructs import IConstruct

from remotejob.cdk.queues import JobQueue
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import FREE_STORAGE_GIB, SYSTEM_VERSION, QueueKey, QueueLimit, SystemKey
from remotejob.settings import Architecture, QueueSettings, Settings

LIMIT_BYTES: Final = 4096
"""Lambda's limit for all environment variables of a function, and SSM's for a free parameter."""

RESERVED_BYTES: Final = 256
"""Reserved for the names of the variables, and for other variables."""

LONGEST_URL: Final = "https://sqs.ap-northeast-1.amazonaws.com.cn/123456789012/"
LONGEST_SUFFIX: Final = 13
"""CloudFormation ends a generated name with a dash and up to 12 characters."""


def describe(
    settings: Settings,
    *,
    table: str,
    input_bucket: str,
    output_bucket: str,
    urls: Mapping[str, Mapping[QueueKey, str]],
) -> dict[str, Any]:
    """The system description, with the keys of `remotejob.names`."""
    system = settings.system
    return {
        SystemKey.VERSION.value: SYSTEM_VERSION,
        SystemKey.NAME.value: system.name,
        SystemKey.TABLE.value: table,
        SystemKey.INPUT_BUCKET.value: input_bucket,
        SystemKey.OUTPUT_BUCKET.value: output_bucket,
        SystemKey.LEASE_SECONDS.value: system.lease_seconds,
        SystemKey.CLOCK_SKEW_SECONDS.value: system.clock_skew_seconds,
        SystemKey.RETENTION_DAYS.value: system.retention_days,
        **_readable(system.readable_buckets),
        SystemKey.MAX_DEPTH.value: system.max_depth,
        SystemKey.QUEUES.value: {
            name: {key.value: url for key, url in urls[name].items()}
            | {QueueKey.TASKS.value: list(queue.tasks)}
            | _options(queue)
            for name, queue in settings.queues.items()
        },
    }


def _readable(buckets: Sequence[str]) -> dict[str, Any]:
    """Nothing if there are none, so that such templates stay as they were."""
    return {SystemKey.READABLE_BUCKETS.value: list(buckets)} if buckets else {}


def _options(queue: QueueSettings) -> dict[str, Any]:
    """The options of a queue that are not the default; there is little room for more."""
    options: dict[str, Any] = {}
    if queue.order is not Order.WEIGHTED:
        options[QueueKey.ORDER.value] = queue.order.value
    if queue.tenant_limit is not None:
        options[QueueKey.TENANT_LIMIT.value] = queue.tenant_limit
    if queue.daily_jobs is not None:
        options[QueueLimit.DAILY_JOBS.value] = queue.daily_jobs
    if queue.daily_dollars is not None:
        options[QueueLimit.DAILY_DOLLARS.value] = queue.daily_dollars
    if queue.max_pending is not None:
        options[QueueLimit.MAX_PENDING.value] = queue.max_pending
    options[QueueKey.SIZE.value] = _size(queue)
    return options


def _size(queue: QueueSettings) -> list[int]:
    """What the price of a worker depends on; the rest only where it is not the default."""
    size = [queue.cpu, queue.memory_mib, queue.jobs_at_a_time]
    more = [
        int(queue.architecture is Architecture.ARM64),
        queue.ephemeral_storage_gib or FREE_STORAGE_GIB,
        queue.spot_percent,
    ]
    return size if more == [0, FREE_STORAGE_GIB, 0] else size + more


def check_size(
    settings: Settings,
    *,
    table: IConstruct,
    input_bucket: IConstruct,
    output_bucket: IConstruct,
    queues: Mapping[str, JobQueue],
) -> None:
    """Refuse a system whose description would not fit, before AWS refuses it during the deploy.

    CloudFormation generates the names when it creates the stack, so we count their maximum length.

    Raises: SettingsError.
    """
    longest = describe(
        settings,
        table=_longest_name(table, most=255),
        input_bucket=_longest_name(input_bucket, most=63),
        output_bucket=_longest_name(output_bucket, most=63),
        urls={
            name: {
                key: LONGEST_URL + _longest_name(queue, most=80)
                for key, queue in job_queue.queues.items()
            }
            for name, job_queue in queues.items()
        },
    )
    size = len(json.dumps(longest, separators=(",", ":"), ensure_ascii=False).encode())
    if size > LIMIT_BYTES - RESERVED_BYTES:
        raise SettingsError(
            f"the description of system {settings.system.name!r} with {len(queues)} queues can"
            f" take {size:,} bytes, and a Lambda function's environment has"
            f" {LIMIT_BYTES - RESERVED_BYTES:,} for it: name fewer or shorter queues and tasks, or"
            " move some to a second system, a settings file with another [system] name"
        )


def _longest_name(construct: IConstruct, *, most: int) -> str:
    """A stand-in as long as the longest name CloudFormation can generate for the construct."""
    resource = construct.node.default_child
    if resource is None:
        # it exists already, and its name may be known at the deployment alone
        return "x" * most
    assert isinstance(resource, CfnElement)
    stack = Stack.of(construct)
    length = len(f"{stack.stack_name}-{stack.get_logical_id(resource)}") + LONGEST_SUFFIX
    return "x" * min(most, length)
