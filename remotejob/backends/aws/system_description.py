"""The description of a deployed system, which the stacks write and clients and workers read.

It has a part for the system and one for each queue. In SSM each part is a parameter of its own; a
worker's environment has the system's with its own queue's in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.budgets import DailyBudget
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.errors import SettingsError
from remotejob.domain.priority import Order
from remotejob.names import MAX_DEPTH, SYSTEM_VERSION, QueueKey, QueueLimit, SystemKey
from remotejob.ports import QUEUE_CHANNELS, Channel, QueueDescription, WorkerSize

_LATER: Final = (Channel.COMPLETED_DEAD_LETTER, Channel.FAILED_DEAD_LETTER)
_ACCOUNT: Final = re.compile(r"/(\d{12})/")


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribedQueue:
    """One queue, and where its messages are."""

    queue: QueueDescription
    urls: Mapping[Channel, str]

    @classmethod
    def from_json(cls, text: str, *, name: str, origin: str) -> DescribedQueue:
        """Read the description of the queue `name`. Raises: SettingsError, naming `origin`."""
        with _understood(origin, "queue"):
            return _parse_queue(name, json.loads(text))

    @property
    def account(self) -> str:
        """Id of the AWS account, as the URLs name it; empty if they don't.

        Source: Amazon SQS Developer Guide, "Queue and message identifiers".
        """
        found = _ACCOUNT.search(next(iter(self.urls.values()), ""))
        return found[1] if found else ""


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
    queues: Mapping[str, DescribedQueue] | None = None
    """Those that were described with it, such as a worker's own; None if none was."""
    readable_buckets: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> SystemDescription:
        """Read a description.

        Raises: SettingsError, naming `origin`, when it is not one this version understands.
        """
        with _understood(origin, "system"):
            return _parse(json.loads(text))


@contextmanager
def _understood(origin: str, what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SettingsError(
            f"{origin} does not hold a {what} description this version understands "
            f"({type(problem).__name__}: {problem}); deploy again, or upgrade remotejob"
        ) from None


def _parse(described: Any) -> SystemDescription:
    version = described[SystemKey.VERSION]
    if version != SYSTEM_VERSION:
        raise ValueError(f"version {version!r}, not {SYSTEM_VERSION}")
    queues = described.get(SystemKey.QUEUES)
    return SystemDescription(
        name=described[SystemKey.NAME],
        table=described[SystemKey.TABLE],
        input_bucket=described[SystemKey.INPUT_BUCKET],
        output_bucket=described[SystemKey.OUTPUT_BUCKET],
        lease=timedelta(seconds=described[SystemKey.LEASE_SECONDS]),
        skew=_skew(described.get(SystemKey.CLOCK_SKEW_SECONDS)),
        retention=timedelta(days=described[SystemKey.RETENTION_DAYS]),
        max_depth=described.get(SystemKey.MAX_DEPTH, MAX_DEPTH),
        queues=(
            None
            if queues is None
            else {name: _parse_queue(name, queue) for name, queue in queues.items()}
        ),
        readable_buckets=frozenset(described.get(SystemKey.READABLE_BUCKETS, ())),
    )


def _parse_queue(name: str, described: Any) -> DescribedQueue:
    return DescribedQueue(
        queue=QueueDescription(
            name=name,
            tasks=tuple(described[QueueKey.TASKS]),
            order=Order(described.get(QueueKey.ORDER, Order.WEIGHTED)),
            tenant_limit=described.get(QueueKey.TENANT_LIMIT),
            size=_size(described.get(QueueKey.SIZE)),
            budget=DailyBudget(
                runs=described.get(QueueLimit.DAILY_JOBS),
                dollars=described.get(QueueLimit.DAILY_DOLLARS),
            ),
            max_pending=described.get(QueueLimit.MAX_PENDING),
            retired=described.get(QueueKey.RETIRED, False),
        ),
        urls={
            channel: described[channel.value]
            for channel in QUEUE_CHANNELS
            # earlier versions did not describe all
            if channel not in _LATER or channel.value in described
        },
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
