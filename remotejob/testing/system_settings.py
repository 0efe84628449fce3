"""From `remotejob.toml` to a system in memory: its settings, its ports, and the user's modules."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from remotejob.client.hooks import registry as hooks
from remotejob.domain.budgets import DailyBudget
from remotejob.domain.errors import SettingsError
from remotejob.domain.text import shown
from remotejob.names import FREE_STORAGE_GIB
from remotejob.ports import Installation, QueueDescription, WorkerSize
from remotejob.settings import DEFAULT_FILE, Architecture, QueueSettings, Settings, load, parse
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.import_place import place_of
from remotejob.tasks.registry import registry
from remotejob.testing.fakes import memory_installation
from remotejob.testing.isolation import kept_for_good
from remotejob.testing.system_time import MovableClock, SystemMessages, SystemStore

SettingsSource = Path | str | Settings
"""A `Path` is a file, a `str` is the text of one."""


def settings_from(source: SettingsSource) -> tuple[Settings, Path | None]:
    """The settings, and the folder from which their modules are imported, if they are a file's.

    Raises: SettingsError.
    """
    if isinstance(source, Settings):
        return source, None
    if isinstance(source, Path):
        return load(source), source.absolute().parent
    if not isinstance(source, str):
        raise SettingsError(
            f"settings={shown(source)}: give a Path to a {DEFAULT_FILE}, or its text"
        )
    try:
        return parse(tomllib.loads(source)), None
    except tomllib.TOMLDecodeError as problem:
        hint = "; a str is the text of the settings, so give a path as pathlib.Path"
        raise SettingsError(
            f"settings={shown(source)}: not TOML: {problem}{'' if chr(10) in source else hint}"
        ) from None


def installation_of(
    settings: Settings, *, clock: MovableClock, messages: SystemMessages
) -> Installation:
    """An empty system with these settings; its hooks are those of this process."""
    system = settings.system
    made = memory_installation(
        clock,
        lease=timedelta(seconds=system.lease_seconds),
        retention=timedelta(days=system.retention_days),
    )
    return replace(
        made,
        name=system.name,
        store=SystemStore(clock, skipped=made.skipped),
        messages=messages,
        queues={name: _described(name, queue) for name, queue in settings.queues.items()},
        skew=timedelta(seconds=system.clock_skew_seconds),
        readable_buckets=frozenset(system.readable_buckets),
        max_depth=system.max_depth,
        write_once_outputs=system.write_once_outputs,
        hooks=hooks,
    )


def _described(name: str, queue: QueueSettings) -> QueueDescription:
    return QueueDescription(
        name=name,
        tasks=queue.tasks,
        order=queue.order,
        tenant_limit=queue.tenant_limit,
        size=WorkerSize(
            cpu=queue.cpu,
            memory_mib=queue.memory_mib,
            jobs=queue.jobs_at_a_time,
            arm=queue.architecture is Architecture.ARM64,
            storage_gib=queue.ephemeral_storage_gib or FREE_STORAGE_GIB,
            spot_percent=queue.spot_percent,
        ),
        budget=DailyBudget(runs=queue.daily_jobs, dollars=queue.daily_dollars),
        max_pending=queue.max_pending,
    )


class UserModules:
    """The modules whose import registers the tasks and hooks of the queues.

    Each is imported once in a process, as a worker does it.
    """

    def __init__(self, settings: Settings, folder: Path | None) -> None:
        self._settings = settings
        self._folder = folder
        self._missing: dict[str, SettingsError] = {}
        """By queue: its tasks module is not there, which matters once a task is missing, too."""

    def load(self) -> None:
        """Import what is needed. Raises: SettingsError, when an import fails."""
        if self._folder is not None and str(self._folder) not in sys.path:
            sys.path.insert(0, str(self._folder))
        for name, queue in self._settings.queues.items():
            with self.environment(name):
                if any(task not in registry for task in queue.tasks):
                    self._import_tasks(name, queue)
                if queue.hooks_module is not None:
                    _import(queue.hooks_module, queue=name, key="hooks_module")

    @contextmanager
    def environment(self, queue: str) -> Iterator[None]:
        """Give this process the variables of a queue's workers, except those that it has already,
        which the test has set."""
        added = {
            name: value
            for name, value in self._settings.queues[queue].environment.items()
            if name not in os.environ
        }
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)

    def check(self, queue: str) -> None:
        """Raises: SettingsError, when a task of a queue is not registered by now."""
        try:
            registry.require(self._settings.queues[queue].tasks, queue=queue)
        except SettingsError as problem:
            raise self._missing.get(queue) or problem from None

    def _import_tasks(self, name: str, queue: QueueSettings) -> None:
        try:
            _import(queue.tasks_module, queue=name, key="tasks_module")
        except SettingsError as problem:
            # a test may define the tasks itself
            if not _is_missing(problem.__cause__, queue.tasks_module):
                raise
            self._missing[name] = problem


def _import(module: str, *, queue: str, key: str) -> None:
    try:
        with kept_for_good(), OnlyHere():
            importlib.import_module(module)
    except (Exception, SystemExit) as problem:
        place = place_of(problem, root=Path.cwd())
        at = "" if place is None else f"{place}: "
        raise SettingsError(
            f"[queues.{queue}] {key} = {module!r}: its import failed with "
            f"{at}{type(problem).__name__}: {problem}"
        ) from problem


def _is_missing(problem: BaseException | None, module: str) -> bool:
    """Whether it is this very module that was not found, or a package above it."""
    if not isinstance(problem, ModuleNotFoundError) or problem.name is None:
        return False
    return f"{module}.".startswith(f"{problem.name}.")
