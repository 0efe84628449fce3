"""`remotejob.toml`: the settings of an installation, validated when read.

The stacks read it at synth and the upload function at run time, so a route means the same to both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from remotejob.domain.argument_checks import check_choice
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.errors import SettingsError
from remotejob.domain.text_files import Unreadable, decode
from remotejob.names import INPUT_PREFIX_SUBMITTED, MAX_DEPTH, SMOKE_PREFIX, SMOKE_TASK
from remotejob.settings.machines import FARGATE_MEMORY_MIB, Architecture, read_registry
from remotejob.settings.network import NetworkSettings, Subnets, check_network, read_network
from remotejob.settings.permissions import Permission
from remotejob.settings.queues import QueueSettings, read_queue
from remotejob.settings.routes import Route, read_route, refuse_shadowed
from remotejob.settings.secrets import Secret, read_key
from remotejob.settings.table import NAME, Table
from remotejob.settings.tags import read_tags

__all__ = [
    "DEFAULT_FILE",
    "FARGATE_MEMORY_MIB",
    "NAME",
    "Architecture",
    "NetworkSettings",
    "Permission",
    "QueueSettings",
    "Route",
    "Secret",
    "Settings",
    "Stage",
    "Subnets",
    "SystemSettings",
    "load",
    "load_system",
    "parse",
]

DEFAULT_FILE: Final = "remotejob.toml"
RUNBOOK: Final = "docs/runbook.md"
"""The page in the repository of this library."""
_Read = TypeVar("_Read")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")
"""Source: Amazon S3 User Guide, "General purpose bucket naming rules"."""
_EMAIL: Final = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,190}")
_PLACE: Final = re.compile(r"[!-\"$-~]{1,400}")
"""A description of an alarm has 1,024 characters at most. Source: Amazon CloudWatch API Reference,
PutMetricAlarm."""


class Stage(StrEnum):
    """How an installation is protected against loss."""

    DEVELOPMENT = "development"
    """Destroying the stacks deletes everything; buckets must be emptied first."""

    PRODUCTION = "production"
    """The table, the buckets, the queues and their contents outlive the stacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemSettings:
    """The installation as a whole."""

    name: str = "default"
    stage: Stage = Stage.PRODUCTION
    """The safe one, unless someone asks for the other by its name."""
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
    alarm_email: str | None = None
    """Who gets a mail when an alarm turns on or off; None for nobody."""
    runbook: str = RUNBOOK
    """Where the runbook is, which every alarm refers to: a URL, or a path for people to read."""
    max_read_units: int | None = None
    max_write_units: int | None = None
    """Request units a second at which the table, and its index, begin to throttle; at least 10.
    Source: Amazon DynamoDB Developer Guide, "DynamoDB maximum throughput for on-demand tables"."""
    warm_read_units: int | None = None
    warm_write_units: int | None = None
    """Request units a second that the table, and its index, bear at once; None for what a new table
    bears, 12,000 and 4,000. Source: Amazon DynamoDB Developer Guide, "DynamoDB warm throughput"."""
    output_retention_days: int | None = None
    """How long outputs are kept after they were written, at least 15; None for ever."""
    write_once_outputs: bool = False
    """Whether workers write an output only where there is no file yet (`If-None-Match`)."""
    encryption_key: str | None = None
    """ARN of the customer's KMS key for the table, the queues and the buckets."""
    base_registry: str | None = None
    """Where the build of an image pulls its base image from; None for the Dockerfile's default."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of everything that is deployed, and of the workers' tasks."""

    def __post_init__(self) -> None:
        stage = check_choice("stage=", self.stage, Stage, error=SettingsError)
        object.__setattr__(self, "stage", stage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The whole of `remotejob.toml`."""

    system: SystemSettings
    queues: Mapping[str, QueueSettings]
    routes: tuple[Route, ...] = ()
    network: NetworkSettings = field(default=NetworkSettings())

    def input_prefixes(self, queue: str) -> tuple[str, ...]:
        """Prefixes in the input bucket that a queue's workers may read, besides submitted inputs.

        An empty one is the whole bucket.
        """
        routed = (route.prefix for route in self.routes if route.queue == queue)
        return (*routed, *self.queues[queue].inputs, f"{SMOKE_PREFIX}{queue}/")

    def route_for(self, key: str) -> Route | None:
        """The first route that matches an object's key, or None.

        Folder markers (keys that end in a slash) and submitted inputs have no route; the files of a
        deployment's check have one that no settings name.
        """
        if key.startswith(INPUT_PREFIX_SUBMITTED) or key.endswith("/"):
            return None
        if key.startswith(SMOKE_PREFIX):
            return self._smoke_route(key)
        return next((route for route in self.routes if route.matches(key)), None)

    def _smoke_route(self, key: str) -> Route | None:
        queue = key.removeprefix(SMOKE_PREFIX).partition("/")[0]
        return Route(task=SMOKE_TASK, queue=queue) if queue in self.queues else None


def load(path: Path | str = DEFAULT_FILE) -> Settings:
    """Read and validate settings.

    Raises: SettingsError, naming the file, the key, the value and the remedy.
    """
    return _load(Path(path), parse)


def load_system(path: Path | str = DEFAULT_FILE) -> SystemSettings:
    """The settings of the system alone, whatever the file says of queues and routes.

    Raises: as `load`.
    """
    return _load(Path(path), _system_of)


def _load(path: Path, read: Callable[[Mapping[str, Any]], _Read]) -> _Read:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file; give its path, or start in its folder"
        ) from None
    except OSError as problem:
        raise SettingsError(f"{path}: {problem.strerror}; give the path of a file") from None
    try:
        return read(_document(content))
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
    system = _system_of(document)
    queues = {
        name: read_queue(name, Table(value, where=f"[queues.{name}]", of=QueueSettings))
        for name, value in top.value("queues", dict, default={}).items()
    }
    if not queues:
        raise SettingsError("there is no queue; add a table such as [queues.default] with `tasks`")
    tasks = {name: queue.tasks for name, queue in queues.items()}
    retired = {name for name, queue in queues.items() if queue.retired}
    routes = tuple(
        read_route(
            Table(value, where=f"[[routes]] number {number}", of=Route), tasks, retired=retired
        )
        for number, value in enumerate(top.value("routes", list, default=[]), start=1)
    )
    refuse_shadowed(routes)
    network = read_network(
        Table(top.value("network", dict, default={}), where="[network]", of=NetworkSettings)
    )
    check_network(network, queues, production=system.stage is Stage.PRODUCTION)
    return Settings(system=system, queues=MappingProxyType(queues), routes=routes, network=network)


def _system_of(document: Mapping[str, Any]) -> SystemSettings:
    top = Table(document, where="the file", of=Settings)
    table = Table(top.value("system", dict, default={}), where="[system]", of=SystemSettings)
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
        alarm_email=_email(table),
        runbook=_runbook(table),
        max_read_units=table.whole_or_none("max_read_units", 10, 10_000_000),
        max_write_units=table.whole_or_none("max_write_units", 10, 10_000_000),
        warm_read_units=_warm_units(table, "read", at_least=12_000),
        warm_write_units=_warm_units(table, "write", at_least=4_000),
        output_retention_days=table.whole_or_none("output_retention_days", 15, 3650),
        write_once_outputs=table.value("write_once_outputs", bool, default=False),
        encryption_key=read_key(table, "encryption_key"),
        base_registry=read_registry(table, "base_registry"),
        tags=read_tags(table),
    )


def _warm_units(table: Table, kind: str, *, at_least: int) -> int | None:
    """Source: Amazon DynamoDB Developer Guide, "DynamoDB warm throughput": no less than a new
    on-demand table bears, and no more than the limit that the table is given."""
    key = f"warm_{kind}_units"
    units = table.whole_or_none(key, at_least, 1_000_000)
    most = table.whole_or_none(f"max_{kind}_units", 10, 10_000_000)
    if units is not None and most is not None and units > most:
        table.fail(key, units, f"it must be at most max_{kind}_units, {most}")
    return units


def _email(table: Table) -> str | None:
    address: str = table.value("alarm_email", str, default="")
    if address and not _EMAIL.fullmatch(address):
        table.fail("alarm_email", address, "give one address, such as 'ops@example.com'")
    return address or None


def _runbook(table: Table) -> str:
    place: str = table.value("runbook", str, default=RUNBOOK)
    if not _PLACE.fullmatch(place):
        table.fail(
            "runbook",
            place,
            "give a URL or a path without spaces or a #, of at most 400 characters",
        )
    return place


def _buckets(table: Table) -> tuple[str, ...]:
    buckets = tuple(table.strings("readable_buckets", default=[]))
    for bucket in buckets:
        if not _BUCKET.fullmatch(bucket) or ".." in bucket or _ADDRESS.fullmatch(bucket):
            table.fail(
                "readable_buckets",
                bucket,
                "name a bucket, without s3://, in lower-case letters, digits, dots and dashes",
            )
    if len(set(buckets)) < len(buckets):
        table.fail("readable_buckets", list(buckets), "name each bucket once")
    return buckets
