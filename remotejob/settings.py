"""`remotejob.toml`: the settings of an installation, validated when read.

The stacks read it at synth and the upload function at run time, so a route means the same to both.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.errors import InvalidName, SettingsError
from remotejob.domain.name_rules import TASK_NAME
from remotejob.domain.priority import Order, Priority, priority_named
from remotejob.domain.record import INLINE_LIMIT
from remotejob.domain.route_tenants import check_route_tenant, tenant_of
from remotejob.domain.text import NESTED_AT_MOST, dumps, nested_too_deep, shown
from remotejob.domain.text_files import Unreadable, decode
from remotejob.names import INPUT_PREFIX_SUBMITTED, LOG_LEVELS, MAX_DEPTH, MIN_FREE_DISK_PERCENT

DEFAULT_FILE: Final = "remotejob.toml"
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""Source: Amazon S3 User Guide, "General purpose bucket naming rules"."""

_MOST_DOLLARS: Final = 1_000_000

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
    tasks_module: str = "worker_container.tasks"
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
class Route:
    """Which uploads become which jobs. The first matching route counts."""

    task: str
    queue: str = "default"
    prefix: str = ""
    suffixes: tuple[str, ...] = ()
    """Compared ignoring case; empty means any."""
    priority: int = Priority.NORMAL
    tenant: str | None = None
    """The tenant of its jobs; `{folder}` in it stands for the key's first folder after the prefix.
    """
    max_per_minute: int | None = None
    """Jobs that may begin in a minute, for each tenant; further ones wait for a later minute."""
    data: Mapping[str, Any] = field(default_factory=dict)

    def tenant_of(self, key: str) -> str | None:
        """The tenant of an upload that it takes; None if it names none."""
        if self.tenant is None:
            return None
        return tenant_of(key, tenant=self.tenant, prefix=self.prefix)

    def matches(self, key: str) -> bool:
        if not key.startswith(self.prefix):
            return False
        return not self.suffixes or key.lower().endswith(tuple(s.lower() for s in self.suffixes))


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
    top = _Table(document, where="the file", of=Settings)
    system = _system(
        _Table(top.value("system", dict, default={}), where="[system]", of=SystemSettings)
    )
    queues = {
        name: _queue(name, _Table(value, where=f"[queues.{name}]", of=QueueSettings))
        for name, value in top.value("queues", dict, default={}).items()
    }
    if not queues:
        raise SettingsError("there is no queue; add a table such as [queues.default] with `tasks`")
    routes = tuple(
        _route(_Table(value, where=f"[[routes]] number {number}", of=Route), queues)
        for number, value in enumerate(top.value("routes", list, default=[]), start=1)
    )
    _refuse_shadowed(routes)
    return Settings(system=system, queues=MappingProxyType(queues), routes=routes)


def _system(table: _Table) -> SystemSettings:
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


def _buckets(table: _Table) -> tuple[str, ...]:
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


def _queue(name: str, table: _Table) -> QueueSettings:
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
        tasks_module=table.value("tasks_module", str, default="worker_container.tasks"),
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


def _route(table: _Table, queues: Mapping[str, QueueSettings]) -> Route:
    queue = table.value("queue", str, default="default")
    if queue not in queues:
        table.fail("queue", queue, f"the queues are {', '.join(sorted(queues))}")
    task = table.value("task", str)
    if task not in queues[queue].tasks:
        known = ", ".join(queues[queue].tasks)
        table.fail("task", task, f"queue {queue!r} runs {known}; add it to [queues.{queue}]")
    prefix = table.value("prefix", str, default="")
    if prefix.startswith("/"):
        table.fail("prefix", prefix, "S3 keys do not begin with a slash; leave it out")
    if prefix.startswith(INPUT_PREFIX_SUBMITTED):
        table.fail("prefix", prefix, "submitted inputs live there; choose another")
    suffixes = tuple(table.strings("suffixes", default=[]))
    if "" in suffixes:
        table.fail("suffixes", list(suffixes), "leave the key out to accept any suffix")
    return Route(
        task=task,
        queue=queue,
        prefix=prefix,
        suffixes=suffixes,
        priority=_priority(table),
        tenant=_tenant(table),
        max_per_minute=table.whole_or_none("max_per_minute", 1, 60_000),
        data=MappingProxyType(_route_data(table)),
    )


def _refuse_shadowed(routes: Sequence[Route]) -> None:
    """Refuse a route that no upload can reach, because earlier ones take all its keys."""
    for at, route in enumerate(routes):
        wider = [
            (number, one)
            for number, one in enumerate(routes[:at], 1)
            if route.prefix.startswith(one.prefix)
        ]
        by: set[int] = set()
        for suffix in route.suffixes or ("",):
            # with no suffix of its own, only a route that takes any suffix covers it
            taken = (number for number, one in wider if _takes_suffix(one, suffix))
            number = next(taken, None)
            if number is None:
                break
            by.add(number)
        else:
            earlier = " and ".join(f"number {number}" for number in sorted(by))
            raise SettingsError(
                f"[[routes]] number {at + 1} (task {route.task!r}, prefix {route.prefix!r}) gets "
                f"no uploads: {earlier} takes all of them first; move it up, or take it out"
            )


def _takes_suffix(route: Route, suffix: str) -> bool:
    ends = tuple(one.lower() for one in route.suffixes)
    return not ends or suffix.lower().endswith(ends)


def _route_data(table: _Table) -> dict[str, Any]:
    data: dict[str, Any] = table.value("data", dict, default={})
    try:
        size = len(dumps(data).encode())
    except (TypeError, ValueError, RecursionError):
        table.fail("data", data, "it must be valid JSON, with no dates or times")
    if nested_too_deep(data):
        table.fail("data", "…", f"it is nested more than {NESTED_AT_MOST} levels deep; flatten it")
    if size > INLINE_LIMIT:
        table.fail("data", "…", f"it has {size} bytes; use {INLINE_LIMIT} at most")
    return data


def _tenant(table: _Table) -> str | None:
    tenant: str = table.value("tenant", str, default="")
    if not tenant:
        return None
    try:
        return check_route_tenant(tenant)
    except InvalidName as problem:
        table.fail("tenant", tenant, str(problem))


def _priority(table: _Table) -> int:
    value = table.value("priority", (str, int), default="normal")
    if isinstance(value, int):
        return value
    try:
        return priority_named(value)
    except KeyError:
        names = ", ".join(p.name.lower() for p in Priority)
        table.fail("priority", value, f"use a whole number, or one of {names}")


class _Table:
    """A TOML table being read; the dataclass it is read into defines the keys."""

    def __init__(self, values: Any, *, where: str, of: type) -> None:
        if not isinstance(values, Mapping):
            raise SettingsError(f"{where} is {shown(values)}: it must be a table")
        self._values = values
        self._where = where
        # before reporting a missing key: a mistyped one is often the reason
        self._refuse_unknown(sorted(one.name for one in fields(of)))

    def fail(self, key: str, value: object, remedy: str) -> NoReturn:
        raise SettingsError(f"{self._where}: {key} = {shown(value)}: {remedy}")

    def value(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if key not in self._values:
            if default is None:
                raise SettingsError(f"{self._where}: {key} is missing; add it")
            return default
        value = self._values[key]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.fail(key, value, f"it must be {' or '.join(_KIND[k] for k in kinds)}")
        return value

    def strings(self, key: str, default: list[str] | None = None) -> list[str]:
        values: list[str] = self.value(key, list, default=default)
        for value in values:
            if not isinstance(value, str):
                self.fail(key, values, "it must be a list of strings")
        return values

    def name(self, key: str, pattern: re.Pattern[str], *, default: str) -> str:
        value: str = self.value(key, str, default=default)
        if not pattern.fullmatch(value):
            self.fail(key, value, "use lower-case letters, digits and dashes, at most 31")
        return value

    def choice(self, key: str, choices: list[str], *, default: str) -> str:
        value: str = self.value(key, str, default=default)
        if value not in choices:
            self.fail(key, value, f"use one of {', '.join(choices)}")
        return value

    def whole(self, key: str, least: int, most: int, *, default: int) -> int:
        value: int = self.value(key, int, default=default)
        if not least <= value <= most:
            self.fail(key, value, f"it must be between {least} and {most}")
        return value

    def whole_or_none(self, key: str, least: int, most: int) -> int | None:
        """None if the key is left out."""
        return self.whole(key, least, most, default=least) if key in self._values else None

    def dollars_or_none(self, key: str) -> float | None:
        """None if the key is left out."""
        if key not in self._values:
            return None
        value: float = self.value(key, (int, float))
        if not 0.01 <= value <= _MOST_DOLLARS:
            self.fail(key, value, f"it must be between 0.01 and {_MOST_DOLLARS:,}")
        return float(value)

    def _refuse_unknown(self, known: Sequence[str]) -> None:
        for key in self._values:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise SettingsError(
                    f"{self._where}: unknown key {shown(key)}{hint} (known: {', '.join(known)})"
                )


_KIND = {
    bool: "true or false",
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "a list",
}
