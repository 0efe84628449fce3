"""Queues: the tasks that their workers run, and what the workers are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remotejob.domain.argument_checks import check_choice, check_word
from remotejob.domain.errors import SettingsError
from remotejob.domain.name_rules import TASK_NAME
from remotejob.domain.priority import Order
from remotejob.domain.text import shown
from remotejob.names import (
    DEFAULT_TASKS,
    INPUT_PREFIX_SUBMITTED,
    LOG_LEVELS,
    MIN_FREE_DISK_PERCENT,
    SMOKE_TASK,
)
from remotejob.settings.capacity import Capacity, read_capacity
from remotejob.settings.machines import (
    LEAST_STORAGE_GIB,
    MOST_STORAGE_GIB,
    Architecture,
    read_image,
    read_size,
)
from remotejob.settings.permissions import Permission, read_permissions
from remotejob.settings.secrets import Secret, read_secrets
from remotejob.settings.table import NAME, Table
from remotejob.settings.variables import read_environment

_MODULE: Final = re.compile(r"[^\s./\\]+(\.[^\s./\\]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """One queue and the workers that serve it.

    Raises: SettingsError, for a word that none of its choices has; `read_queue` checks the rest.
    """

    tasks: tuple[str, ...]
    concurrency: int = 4
    """Jobs a worker runs at a time, in each of its processes."""
    processes: int = 0
    """Child processes that run a worker's jobs, at most 100; 0 for the worker's own process."""
    max_workers: int = 10
    """The most Fargate tasks. 0 for workers elsewhere alone."""
    min_workers: int = 0
    """The fewest Fargate tasks, which then wait for jobs, and cost, day and night."""
    idle_minutes: int = 5
    """How long the queue is without work before its last workers stop, 1 to 1,440."""
    alarm_age_minutes: int = 60
    """How old its oldest message may become until an alarm turns on, 1 to 20,160. A message counts
    from when it was sent, and also while its job runs."""
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

    retired: bool = False
    """Whether it takes no new jobs: the state before it is taken out of the settings."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its workers, which its tasks read with `os.environ`."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Variables whose values ECS reads from where these say, when a worker starts."""
    permissions: tuple[Permission, ...] = ()
    """What its tasks may do in AWS, besides what the library needs."""
    ephemeral_storage_gib: int | None = None
    """Disk of a worker; None for the 20 GiB that Fargate gives."""
    architecture: Architecture = Architecture.X86_64
    spot_percent: int = 0
    """How many of a hundred workers, beyond the base, run on Fargate Spot."""
    on_demand_base: int = 0
    """Workers that run on demand before any runs on Spot."""
    capacity_provider: str | None = None
    """An ECS capacity provider, instead of Fargate."""
    gpus: int = 0
    """GPUs of a worker, of a capacity provider that has some."""
    dockerfile: str | None = None
    """Path of its image's Dockerfile in the project; None for the project's own."""
    image: str | None = None
    """An image in a registry, instead of one that the deployment builds."""

    max_pending: int | None = None
    """Messages that may wait in each of its lanes; then `submit` refuses further jobs."""
    daily_jobs: int | None = None
    """Runs that may begin in a day, in UTC; then the queue is paused until the next."""
    daily_dollars: float | None = None
    """What its workers may cost in a day, at list prices; then it is paused, too."""

    def __post_init__(self) -> None:
        order = check_choice("order=", self.order, Order, error=SettingsError)
        object.__setattr__(self, "order", order)
        architecture = check_choice(
            "architecture=", self.architecture, Architecture, error=SettingsError
        )
        object.__setattr__(self, "architecture", architecture)
        level = check_word("log_level=", self.log_level, LOG_LEVELS, error=SettingsError)
        object.__setattr__(self, "log_level", level)

    @property
    def capacity(self) -> Capacity:
        """Where its workers run."""
        return Capacity(
            spot_percent=self.spot_percent,
            on_demand_base=self.on_demand_base,
            provider=self.capacity_provider,
            gpus=self.gpus,
        )

    @property
    def budgeted(self) -> bool:
        """Whether it has a daily budget."""
        return self.daily_jobs is not None or self.daily_dollars is not None

    @property
    def jobs_at_a_time(self) -> int:
        """Jobs a worker runs at a time, across all its processes."""
        return self.concurrency * max(1, self.processes)


def read_queue(name: str, table: Table) -> QueueSettings:
    """A queue from its table. Raises: SettingsError."""
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
        if task == SMOKE_TASK:
            table.fail("tasks", task, "every worker runs it anyway; take it out")
    if not tasks or len(set(tasks)) < len(tasks):
        table.fail("tasks", list(tasks), "name each task the queue's workers run, once")
    cpu, memory = read_size(table)
    inputs = tuple(table.strings("inputs", default=[]))
    for prefix in inputs:
        table.check_prefix("inputs", prefix)
        if prefix.startswith(INPUT_PREFIX_SUBMITTED):
            table.fail("inputs", prefix, "a queue's workers read what was submitted to it alone")
    most = table.whole("max_workers", 0, 1000, default=10)
    least = table.whole("min_workers", 0, 1000, default=0)
    if least > most:
        table.fail("min_workers", least, f"it must not be more than max_workers, {most}")
    environment = read_environment(table)
    dockerfile, image = read_image(table)
    capacity = read_capacity(table, max_workers=most)
    return QueueSettings(
        tasks=tasks,
        inputs=inputs,
        retired=table.value("retired", bool, default=False),
        concurrency=table.whole("concurrency", 1, 1000, default=4),
        processes=table.whole("processes", 0, 100, default=0),
        max_workers=most,
        min_workers=least,
        idle_minutes=table.whole("idle_minutes", 1, 1440, default=5),
        alarm_age_minutes=table.whole("alarm_age_minutes", 1, 14 * 1440, default=60),
        cpu=cpu,
        memory_mib=memory,
        tasks_module=_module(table, "tasks_module", default=DEFAULT_TASKS),
        hooks_module=_module(table, "hooks_module", default="") or None,
        order=Order(table.choice("order", [*Order], default=Order.WEIGHTED)),
        tenant_limit=table.whole_or_none("tenant_limit", 1, 50),
        log_level=table.choice("log_level", list(LOG_LEVELS), default="info"),
        metrics=table.value("metrics", bool, default=True),
        min_free_disk_percent=table.whole(
            "min_free_disk_percent", 0, 90, default=MIN_FREE_DISK_PERCENT
        ),
        environment=environment,
        secrets=read_secrets(table, environment),
        permissions=read_permissions(table),
        ephemeral_storage_gib=table.whole_or_none(
            "ephemeral_storage_gib", LEAST_STORAGE_GIB, MOST_STORAGE_GIB
        ),
        architecture=Architecture(
            table.choice("architecture", [*Architecture], default=Architecture.X86_64)
        ),
        spot_percent=capacity.spot_percent,
        on_demand_base=capacity.on_demand_base,
        capacity_provider=capacity.provider,
        gpus=capacity.gpus,
        dockerfile=dockerfile,
        image=image,
        max_pending=table.whole_or_none("max_pending", 1, 1_000_000_000),
        daily_jobs=table.whole_or_none("daily_jobs", 1, 1_000_000_000),
        daily_dollars=table.dollars_or_none("daily_dollars"),
    )


def _module(table: Table, key: str, *, default: str) -> str:
    name: str = table.value(key, str, default=default)
    if name != default and (not _MODULE.fullmatch(name) or name.endswith(".py")):
        table.fail(key, name, "name a module as `import` does, with dots: 'tasks' or 'tasks.ocr'")
    return name
