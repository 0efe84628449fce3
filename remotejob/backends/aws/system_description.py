"""The description of a deployed system, which the stacks write and clients and workers read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.budgets import DailyBudget
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import MAX_DEPTH, SYSTEM_VERSION, QueueKey, QueueLimit, SystemKey
from remotejob.ports import Address, Channel, QueueDescription, WorkerSize

_ACCOUNT: Final = re.compile(r"/(\d{12})/")


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemDescription:
    """Where the parts of a system are."""

    name: str
    table: str
    input_bucket: str
    output_bucket: str
    lease: timedelta
    skew: timedelta
    retention: timedelta
    max_depth: int
    queues: Mapping[str, QueueDescription]
    urls: Mapping[Address, str]
    readable_buckets: frozenset[str] = frozenset()

    @property
    def account(self) -> str:
        """Id of the AWS account, as the URL of each queue names it; empty if none does.

        Source: Amazon SQS Developer Guide, "Queue and message identifiers".
        """
        found = _ACCOUNT.search(next(iter(self.urls.values()), ""))
        return found[1] if found else ""

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> SystemDescription:
        """Read a description.

        Raises: SettingsError, naming `origin`, when it is not one this version understands.
        """
        try:
            return _parse(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise SettingsError(
                f"{origin} does not hold a system description this version understands "
                f"({type(problem).__name__}: {problem}); deploy again, or upgrade remotejob"
            ) from None


def _parse(described: Any) -> SystemDescription:
    version = described[SystemKey.VERSION]
    if version != SYSTEM_VERSION:
        raise ValueError(f"version {version!r}, not {SYSTEM_VERSION}")
    queues = described[SystemKey.QUEUES]
    return SystemDescription(
        name=described[SystemKey.NAME],
        table=described[SystemKey.TABLE],
        input_bucket=described[SystemKey.INPUT_BUCKET],
        output_bucket=described[SystemKey.OUTPUT_BUCKET],
        lease=timedelta(seconds=described[SystemKey.LEASE_SECONDS]),
        skew=_skew(described.get(SystemKey.CLOCK_SKEW_SECONDS)),
        retention=timedelta(days=described[SystemKey.RETENTION_DAYS]),
        max_depth=described.get(SystemKey.MAX_DEPTH, MAX_DEPTH),
        queues={
            name: QueueDescription(
                name=name,
                tasks=tuple(queue[QueueKey.TASKS]),
                order=Order(queue.get(QueueKey.ORDER, Order.WEIGHTED)),
                tenant_limit=queue.get(QueueKey.TENANT_LIMIT),
                size=_size(queue.get(QueueKey.SIZE)),
                budget=DailyBudget(
                    runs=queue.get(QueueLimit.DAILY_JOBS),
                    dollars=queue.get(QueueLimit.DAILY_DOLLARS),
                ),
                max_pending=queue.get(QueueLimit.MAX_PENDING),
            )
            for name, queue in queues.items()
        },
        urls={
            Address(name, channel): queue[channel.value]
            for name, queue in queues.items()
            for channel in Channel
        },
        readable_buckets=frozenset(described.get(SystemKey.READABLE_BUCKETS, ())),
    )


def _skew(seconds: int | None) -> timedelta:
    return CLOCK_SKEW if seconds is None else timedelta(seconds=seconds)


def _size(described: list[int] | None) -> WorkerSize | None:
    """The last three, of which the description names none if all are the defaults, are whether it
    is ARM, GiB of storage, and percent on Spot."""
    if described is None:
        return None
    cpu, memory_mib, jobs, *more = described
    if not more:
        return WorkerSize(cpu=cpu, memory_mib=memory_mib, jobs=jobs)
    arm, storage_gib, spot_percent = more
    return WorkerSize(
        cpu=cpu,
        memory_mib=memory_mib,
        jobs=jobs,
        arm=bool(arm),
        storage_gib=storage_gib,
        spot_percent=spot_percent,
    )
