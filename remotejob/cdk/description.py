"""The description in which the library finds what was built: see `names.SystemKey`.

It has a part for the system and one for each queue, each in an SSM parameter of its own. So no size
limits how many queues there are, and a change of one queue changes nothing of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct, IConstruct

from remotejob.cdk.queues import JobQueue
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import (
    FREE_STORAGE_GIB,
    SYSTEM_VERSION,
    QueueKey,
    QueueLimit,
    SystemKey,
    queue_parameter,
    system_parameter,
)
from remotejob.settings import Architecture, QueueSettings, Settings, SystemSettings

LIMIT_BYTES: Final = 4096
"""SSM's limit for a standard parameter, which costs nothing, and Lambda's for all environment
variables of a function, which has the system's part."""

RESERVED_BYTES: Final = 256
"""Reserved for the names of a function's variables, and for other variables."""

LONGEST_URL: Final = "https://sqs.ap-northeast-1.amazonaws.com.cn/123456789012/"
LONGEST_SUFFIX: Final = 13
"""CloudFormation ends a generated name with a dash and up to 12 characters."""


class Descriptions:
    """The SSM parameters that describe a system and its queues."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        table: IConstruct,
        input_bucket: IConstruct,
        output_bucket: IConstruct,
        queues: Mapping[str, JobQueue],
        names: Mapping[str, str],
    ) -> None:
        """names: of the table and the buckets, by `SystemKey`.

        Raises: SettingsError, for a part that would not fit.
        """
        self._stack = cdk.Stack.of(scope)
        self._system = settings.system.name
        _check_system(settings.system, table, input_bucket, output_bucket)
        self.of_system = _as_json(describe_system(settings.system, names))
        """JSON, for functions: they read the queues' descriptions from SSM."""
        self.parameter = ssm.StringParameter(
            scope,
            "Description",
            parameter_name=system_parameter(self._system),
            description="What clients read to find this system",
            string_value=self.of_system,
        )
        self._queues = queues
        self._of_queues: dict[str, str] = {}
        parameters = Construct(scope, "Descriptions")
        for name, queue in settings.queues.items():
            _check_queue(name, queue, queues[name])
            urls = {key: one.queue_url for key, one in queues[name].queues.items()}
            self._of_queues[name] = _as_json(describe_queue(queue, urls))
            ssm.StringParameter(
                parameters,
                name,
                parameter_name=queue_parameter(self._system, name),
                description=f"What clients read to find queue {name}",
                string_value=self._of_queues[name],
            )

    def for_worker(self, scope: Construct, name: str) -> str:
        """JSON: the description of the system with the worker's own queue, and no other."""
        described = f'{{"{name}":{self._of_queue(scope, name)}}}'
        return f'{self.of_system.removesuffix("}")},"{SystemKey.QUEUES}":{described}}}'

    def names_of(self, scope: Construct, name: str) -> dict[QueueKey, str]:
        """The names of the SQS queues of a job queue, for the metrics of a template."""
        keys = self._queues[name].queues
        if cdk.Stack.of(scope) == self._stack:
            return {key: queue.queue_name for key, queue in keys.items()}
        # {"high":"https://HOST/ACCOUNT/NAME",…
        parts = cdk.Fn.split('"', self._of_queue(scope, name))
        urls = {key: cdk.Fn.select(4 * at + 3, parts) for at, key in enumerate(keys)}
        return {key: cdk.Fn.select(4, cdk.Fn.split("/", url)) for key, url in urls.items()}

    def _of_queue(self, scope: Construct, name: str) -> str:
        """The description of a queue, as a template reads it.

        Another stack reads the parameter when it is deployed. An export instead could not be
        removed while that stack imports it, so a queue could not be removed in one deployment.
        Source: AWS CloudFormation User Guide, "Specify existing resources at runtime with
        CloudFormation-supplied parameter types".
        """
        if cdk.Stack.of(scope) == self._stack:
            return self._of_queues[name]
        cdk.Stack.of(scope).add_stack_dependency(self._stack)
        return cdk.CfnParameter(
            scope,
            f"{name}-description",
            type="AWS::SSM::Parameter::Value<String>",
            default=queue_parameter(self._system, name),
            description=f"Where queue {name} is",
        ).value_as_string


def describe_system(system: SystemSettings, names: Mapping[str, str]) -> dict[str, Any]:
    """The part of the system, with the keys of `remotejob.names`."""
    return {
        SystemKey.VERSION.value: SYSTEM_VERSION,
        SystemKey.NAME.value: system.name,
        SystemKey.TABLE.value: names[SystemKey.TABLE],
        SystemKey.INPUT_BUCKET.value: names[SystemKey.INPUT_BUCKET],
        SystemKey.OUTPUT_BUCKET.value: names[SystemKey.OUTPUT_BUCKET],
        SystemKey.LEASE_SECONDS.value: system.lease_seconds,
        SystemKey.CLOCK_SKEW_SECONDS.value: system.clock_skew_seconds,
        SystemKey.RETENTION_DAYS.value: system.retention_days,
        **_readable(system.readable_buckets),
        SystemKey.MAX_DEPTH.value: system.max_depth,
    }


def describe_queue(queue: QueueSettings, urls: Mapping[QueueKey, str]) -> dict[str, Any]:
    """The part of a queue, with the keys of `remotejob.names`."""
    return {
        **{key.value: url for key, url in urls.items()},
        QueueKey.TASKS.value: list(queue.tasks),
        **_options(queue),
    }


def _readable(buckets: Sequence[str]) -> dict[str, Any]:
    """Nothing if there are none, so that such templates stay as they were."""
    return {SystemKey.READABLE_BUCKETS.value: list(buckets)} if buckets else {}


def _options(queue: QueueSettings) -> dict[str, Any]:
    """The options of a queue that are not the default."""
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
    if queue.retired:
        options[QueueKey.RETIRED.value] = True
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


def _check_system(
    system: SystemSettings, table: IConstruct, input_bucket: IConstruct, output_bucket: IConstruct
) -> None:
    """Refuse what AWS would refuse during the deploy. Raises: SettingsError."""
    longest = {
        SystemKey.TABLE.value: _longest_name(table, most=255),
        SystemKey.INPUT_BUCKET.value: _longest_name(input_bucket, most=63),
        SystemKey.OUTPUT_BUCKET.value: _longest_name(output_bucket, most=63),
    }
    size = _bytes(describe_system(system, longest))
    if size > LIMIT_BYTES - RESERVED_BYTES:
        raise SettingsError(
            f"[system]: the description of system {system.name!r} can take {size:,} bytes, and a"
            f" Lambda function's environment has {LIMIT_BYTES - RESERVED_BYTES:,} for it: name"
            " fewer readable_buckets"
        )


def _check_queue(name: str, settings: QueueSettings, queue: JobQueue) -> None:
    """CloudFormation generates the names when it creates the stack, so we count their maximum
    length. Raises: SettingsError."""
    longest = {key: LONGEST_URL + _longest_name(one, most=80) for key, one in queue.queues.items()}
    size = _bytes(describe_queue(settings, longest))
    if size > LIMIT_BYTES:
        raise SettingsError(
            f"[queues.{name}]: the description of a queue with {len(settings.tasks)} tasks can take"
            f" {size:,} bytes, and an SSM parameter holds {LIMIT_BYTES:,}: name fewer or shorter"
            " tasks, or move some to another queue"
        )


def _as_json(described: Mapping[str, Any]) -> str:
    return json.dumps(described, separators=(",", ":"), ensure_ascii=False)


def _bytes(described: Mapping[str, Any]) -> int:
    return len(_as_json(described).encode())


def _longest_name(construct: IConstruct, *, most: int) -> str:
    """A stand-in as long as the longest name CloudFormation can generate for the construct."""
    resource = construct.node.default_child
    if resource is None:
        # it exists already, and its name may be known at the deployment alone
        return "x" * most
    assert isinstance(resource, cdk.CfnElement)
    stack = cdk.Stack.of(construct)
    length = len(f"{stack.stack_name}-{stack.get_logical_id(resource)}") + LONGEST_SUFFIX
    return "x" * min(most, length)
