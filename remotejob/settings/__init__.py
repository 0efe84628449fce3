"""`remotejob.toml`: the settings of an installation, validated when read.

The stacks read it at synth and the upload function at run time, so a route means the same to both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.errors import SettingsError
from remotejob.domain.name_rules import TASK_NAME
from remotejob.domain.priority import Order
from remotejob.domain.text import shown
from remotejob.domain.text_files import Unreadable, decode
from remotejob.names import (
    DEFAULT_TASKS,
    INPUT_PREFIX_SUBMITTED,
    LOG_LEVELS,
    MAX_DEPTH,
    MIN_FREE_DISK_PERCENT,
)
from remotejob.settings.routes import Route, read_route, refuse_shadowed
from remotejob.settings.table import Table

__all__ = [
    "DEFAULT_FILE",
    "FARGATE_MEMORY_MIB",
    "NAME",
    "QueueSettings",
    "Route",
    "Settings",
    "Stage",
    "SystemSettings",
    "load",
    "parse",
]

DEFAULT_FILE: Final = "remotejob.toml"
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Source: Amazon S3 User Guide, "General purpose bucket naming rules"."""

FARGATE_MEMORY_MIB: Final[Mapping[int, Sequence[int]]] = MappingProxyType(
    {
        256: (512, 1024, 2048),
        512: range(1024, 4096 + 1, 1024),
        1024: range(2048, 8192 + 1, 1024),
        2048: range(4096, 16384 + 1, 1024),
        4096: range(8192, 30720 + 1, 1024),
        8192: range(16384, 61440 + 1, 4096),
        16384: range(32768, 122880 + 1, 8192),
    }
)
"""Sizes Fargate offers. Source: Amazon ECS, "Task CPU and memory"."""


class Stage(StrEnum):
    """How an installation is protected against loss."""

    DEVELOPMENT = "development"
    """Destroying the stacks deletes everything; buckets must be emptied first."""

    PRODUCTION = "production"
    """The table, the buckets and their contents outlive the stacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemSettings:
    """The installation as a whole."""

    name: str = "default"
    stage: Stage = Stage.DEVELOPMENT
    lease_seconds: int = 60
    """How long a worker may be silent before another takes its job over, 3 to 3,600."""
    clock_skew_seconds: int = int(CLOCK_SKEW.total_seconds())
    """How far the clocks of the workers, functions and clients may differ, from 0 to less than the
    lease. A lease counts as lapsed only this long after its end."""
    retention_days: int = 30
    """How long a record is kept after its job ended, and an input after its submit. At least 15,
    longer than any queue keeps a message that could bring the job back."""
    readable_buckets: tuple[str, ...] = ()
    """Other buckets that jobs may have their input in; the workers' roles may read them."""
    max_depth: int = MAX_DEPTH
    """How many jobs in a row may each be made by the one before, 1 to 10,000."""
    max_read_units: int | None = None
    max_write_units: int | None = None
    """Request units a second at which the table, and its index, begin to throttle; at least 10.
    Source: Amazon DynamoDB Developer Guide, "DynamoDB maximum throughput for on-demand tables"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """One queue and the workers that serve it."""

    tasks: tuple[str, ...]
    concurrency: int = 4
    """Jobs a worker runs at a time, in each of its processes."""
    processes: int = 0
    """Child processes that run a worker's jobs, at most 100; 0 for the worker's own process."""
    max_workers: int = 10
    """The most Fargate tasks; the fewest is always 0."""
    cpu: int = 1024
    """CPU units; 1,024 is one vCPU."""
    memory_mib: int = 2048
    tasks_module: str = DEFAULT_TASKS
    """The module whose import registers the tasks."""
    hooks_module: str | None = None
    """A module whose import registers hooks, in workers and their supervisors."""
    order: Order = Order.WEIGHTED
    tenant_limit: int | None = None
    """Jobs of one tenant that may run at a time, 1 to 50; None for no limit."""
    log_level: str = "info"
    """The lowest level that its workers log."""
    metrics: bool = True
    """Whether its workers write CloudWatch metrics into their logs."""
    min_free_disk_percent: int = MIN_FREE_DISK_PERCENT
    """A worker takes no jobs while less of its disk is free, 0 to 90; 0 for no limit."""
    inputs: tuple[str, ...] = ()
    """Prefixes in the input bucket that its workers may read, besides those of its routes."""

    max_pending: int | None = None
    """Messages that may wait in each of its lanes; then `submit` refuses further jobs."""
    daily_jobs: int | None = None
    """Runs that may begin in a day, in UTC; then the queue is paused until the next."""
    daily_dollars: float | None = None
    """What its workers may cost in a day, at list prices; then it is paused, too."""

    @property
    def budgeted(self) -> bool:
        """Whether it has a daily budget."""
        return self.daily_jobs is not None or self.daily_dollars is not None

    @property
    def jobs_at_a_time(self) -> int:
        """Jobs a worker runs at a time, across all its processes."""
        return self.concurrency * max(1, self.processes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The whole of `remotejob.toml`."""

    system: SystemSettings
    queues: Mapping[str, QueueSettings]
    routes: tuple[Route, ...] = ()

    def input_prefixes(self, queue: str) -> tuple[str, ...]:
        """Prefixes in the input bucket that a queue's workers may read, besides submitted inputs.

        An empty one is the whole bucket.
        """
        routed = (route.prefix for route in self.routes if route.queue == queue)
        return (*routed, *self.queues[queue].inputs)

    def route_for(self, key: str) -> Route | None:
        """The first route that matches an object's key, or None.

        Folder markers (keys that end in a slash) and submitted inputs have no route.
        """
        if key.startswith(INPUT_PREFIX_SUBMITTED) or key.endswith("/"):
            return None
        return next((route for route in self.routes if route.matches(key)), None)


def load(path: Path | str = DEFAULT_FILE) -> Settings:
    """Read and validate settings.

    Raises: SettingsError, naming the file, the key, the value and the remedy.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file; give its path, or start in its folder"
        ) from None
    except OSError as problem:
        raise SettingsError(f"{path}: {problem.strerror}; give the path of a file") from None
    try:
        return parse(_document(content))
    except SettingsError as problem:
        raise SettingsError(f"{path}: {problem}") from None


def _document(content: bytes) -> dict[str, Any]:
    """Raises: SettingsError, with line and column."""
    try:
        text = decode(content)
        return tomllib.loads(text)
    except Unreadable as problem:
        raise SettingsError(str(problem)) from None
    except RecursionError:
        raise SettingsError("not TOML: its tables or lists are nested too deep") from None
    except tomllib.TOMLDecodeError as problem:
        # the parser gives line and column, except when the file ends too early
        said = str(problem).replace("at end of document", f"{_end_of(text)}, where it ends")
        raise SettingsError(f"not TOML: {said}") from None


def _end_of(text: str) -> str:
    return f"at line {text.count(chr(10)) + 1}, column {len(text.rpartition(chr(10))[2]) + 1}"


def parse(document: Mapping[str, Any]) -> Settings:
    """Settings from a parsed document. Raises: SettingsError."""
    top = Table(document, where="the file", of=Settings)
    system = _system(
        Table(top.value("system", dict, default={}), where="[system]", of=SystemSettings)
    )
    queues = {
        name: _queue(name, Table(value, where=f"[queues.{name}]", of=QueueSettings))
        for name, value in top.value("queues", dict, default={}).items()
    }
    if not queues:
        raise SettingsError("there is no queue; add a table such as [queues.default] with `tasks`")
    tasks = {name: queue.tasks for name, queue in queues.items()}
    routes = tuple(
        read_route(Table(value, where=f"[[routes]] number {number}", of=Route), tasks)
        for number, value in enumerate(top.value("routes", list, default=[]), start=1)
    )
    refuse_shadowed(routes)
    return Settings(system=system, queues=MappingProxyType(queues), routes=routes)


def _system(table: Table) -> SystemSettings:
    default = SystemSettings()
    lease = table.whole("lease_seconds", 3, 3600, default=default.lease_seconds)
    skew = table.whole("clock_skew_seconds", 0, 3599, default=default.clock_skew_seconds)
    if skew >= lease:
        table.fail("clock_skew_seconds", skew, f"it must be less than lease_seconds, {lease}")
    return SystemSettings(
        name=table.name("name", NAME, default=default.name),
        stage=Stage(table.choice("stage", [*Stage], default=default.stage)),
        lease_seconds=lease,
        clock_skew_seconds=skew,
        retention_days=table.whole("retention_days", 15, 3650, default=default.retention_days),
        readable_buckets=_buckets(table),
        max_depth=table.whole("max_depth", 1, 10_000, default=default.max_depth),
        max_read_units=table.whole_or_none("max_read_units", 10, 10_000_000),
        max_write_units=table.whole_or_none("max_write_units", 10, 10_000_000),
    )


def _buckets(table: Table) -> tuple[str, ...]:
    buckets = tuple(table.strings("readable_buckets", default=[]))
    for bucket in buckets:
        if not _BUCKET.fullmatch(bucket):
            table.fail(
                "readable_buckets",
                bucket,
                "name a bucket, without s3://, in lower-case letters, digits, dots and dashes",
            )
    if len(set(buckets)) < len(buckets):
        table.fail("readable_buckets", list(buckets), "name each bucket once")
    return buckets


def _queue(name: str, table: Table) -> QueueSettings:
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"queue name {shown(name)}: use lower-case letters, digits and dashes, at most 31"
        )
    tasks = tuple(table.strings("tasks"))
    for task in tasks:
        if not TASK_NAME.fullmatch(task):
            table.fail(
                "tasks", task, "use letters, digits, dots, dashes and underscores, at most 64"
            )
    if not tasks or len(set(tasks)) < len(tasks):
        table.fail("tasks", list(tasks), "name each task the queue's workers run, once")
    cpu = table.whole("cpu", 256, 16384, default=1024)
    if cpu not in FARGATE_MEMORY_MIB:
        table.fail("cpu", cpu, f"Fargate offers {', '.join(map(str, sorted(FARGATE_MEMORY_MIB)))}")
    memory = table.whole("memory_mib", 512, 122880, default=FARGATE_MEMORY_MIB[cpu][0])
    if memory not in FARGATE_MEMORY_MIB[cpu]:
        offered = ", ".join(map(str, FARGATE_MEMORY_MIB[cpu]))
        table.fail("memory_mib", memory, f"with cpu = {cpu} Fargate offers {offered}")
    inputs = tuple(table.strings("inputs", default=[]))
    for prefix in inputs:
        if prefix.startswith("/"):
            table.fail("inputs", prefix, "S3 keys do not begin with a slash; leave it out")
        if prefix.startswith(INPUT_PREFIX_SUBMITTED):
            table.fail("inputs", prefix, "a queue's workers read what was submitted to it alone")
    return QueueSettings(
        tasks=tasks,
        inputs=inputs,
        concurrency=table.whole("concurrency", 1, 1000, default=4),
        processes=table.whole("processes", 0, 100, default=0),
        max_workers=table.whole("max_workers", 1, 1000, default=10),
        cpu=cpu,
        memory_mib=memory,
        tasks_module=table.value("tasks_module", str, default=DEFAULT_TASKS),
        hooks_module=table.value("hooks_module", str, default="") or None,
        order=Order(table.choice("order", [*Order], default=Order.WEIGHTED)),
        tenant_limit=table.whole_or_none("tenant_limit", 1, 50),
        log_level=table.choice("log_level", list(LOG_LEVELS), default="info"),
        metrics=table.value("metrics", bool, default=True),
        min_free_disk_percent=table.whole(
            "min_free_disk_percent", 0, 90, default=MIN_FREE_DISK_PERCENT
        ),
        max_pending=table.whole_or_none("max_pending", 1, 1_000_000_000),
        daily_jobs=table.whole_or_none("daily_jobs", 1, 1_000_000_000),
        daily_dollars=table.dollars_or_none("daily_dollars"),
    )
