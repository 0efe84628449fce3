"""Routes: which uploads become which jobs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from remotejob.domain.errors import InvalidData, InvalidName, SettingsError
from remotejob.domain.priority import PRIORITY_WORDS, Priority, check_priority
from remotejob.domain.record import INLINE_LIMIT
from remotejob.domain.route_tenants import check_route_tenant, tenant_of
from remotejob.domain.text import NESTED_AT_MOST, dumps, nested_too_deep
from remotejob.names import INPUT_PREFIX_SUBMITTED, SMOKE_PREFIX
from remotejob.settings.table import Table


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
    expires_seconds: int | None = None
    """Seconds from when its jobs may begin, after which none does."""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "priority", check_priority(self.priority))

    def tenant_of(self, key: str) -> str | None:
        """The tenant of an upload that it takes; None if it names none."""
        if self.tenant is None:
            return None
        return tenant_of(key, tenant=self.tenant, prefix=self.prefix)

    def matches(self, key: str) -> bool:
        if not key.startswith(self.prefix):
            return False
        return not self.suffixes or key.lower().endswith(tuple(s.lower() for s in self.suffixes))


def read_route(
    table: Table, tasks: Mapping[str, Sequence[str]], *, retired: Container[str] = ()
) -> Route:
    """A route from its table; `tasks` are those of each queue. Raises: SettingsError."""
    queue = table.value("queue", str, default="default")
    if queue not in tasks:
        table.fail("queue", queue, f"the queues are {', '.join(sorted(tasks))}")
    if queue in retired:
        table.fail("queue", queue, "it is retired, and takes no new jobs; name another queue")
    task = table.value("task", str)
    if task not in tasks[queue]:
        known = ", ".join(tasks[queue])
        table.fail("task", task, f"queue {queue!r} runs {known}; add it to [queues.{queue}]")
    prefix = table.value("prefix", str, default="")
    table.check_prefix("prefix", prefix)
    if prefix.startswith(INPUT_PREFIX_SUBMITTED):
        table.fail("prefix", prefix, "submitted inputs live there; choose another")
    if prefix.startswith(SMOKE_PREFIX):
        table.fail("prefix", prefix, "`remotejob deploy` checks itself there; choose another")
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
        expires_seconds=table.whole_or_none("expires_seconds", 1, 365 * 86_400),
        data=MappingProxyType(_route_data(table)),
    )


def refuse_shadowed(routes: Sequence[Route]) -> None:
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


def _route_data(table: Table) -> dict[str, Any]:
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


def _tenant(table: Table) -> str | None:
    tenant: str = table.value("tenant", str, default="")
    if not tenant:
        return None
    try:
        return check_route_tenant(tenant)
    except InvalidName as problem:
        table.fail("tenant", tenant, str(problem))


def _priority(table: Table) -> int:
    value = table.value("priority", (str, int), default="normal")
    try:
        return check_priority(value)
    except InvalidData:
        words = ", ".join(PRIORITY_WORDS)
        table.fail("priority", value, f"use a whole number up to a million, or one of {words}")
