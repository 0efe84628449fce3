"""Finds a task by its name in the project's own modules, and imports them as a worker would."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remotejob import settings
from remotejob.cli.project import project_folder
from remotejob.domain.errors import InvalidName, SettingsError
from remotejob.domain.text import cut, said_by, shown
from remotejob.local import secret_values
from remotejob.settings import QueueSettings
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.import_place import place_of
from remotejob.tasks.registry import registry
from remotejob.tasks.task import Task

_LONGEST: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTask:
    """A task, and the queue whose workers run it."""

    task: Task
    queue: str


def find_task(name: str, *, module: str | None, queue: str | None) -> FoundTask:
    """Import the module that registers a task: `module`, or the one that remotejob.toml names.

    `queue` is preferred, if it runs the task. This process gets its queue's `environment`
    and `secrets`, as `remotejob local` does.

    Raises: SettingsError, when there is no remotejob.toml, the module is not there, or its import
    fails, or a secret has no value here; InvalidName, which names the known tasks.
    """
    root = project_folder()
    if module is not None:
        _import(module, root=root or Path.cwd(), named_by=f"--tasks {shown(module)}")
        return FoundTask(task=_registered(name, module), queue=queue or "default")
    if root is None:
        raise SettingsError(
            f"there is no {settings.DEFAULT_FILE} in {Path.cwd()} or above: start in the project's "
            "folder, or name the module that registers the task, such as --tasks tasks"
        )
    file = root / settings.DEFAULT_FILE
    queues = settings.load(file).queues
    chosen = _queue_of(name, queues, file, preferred=queue)
    values = secret_values.of_queue(chosen, queues[chosen], root)
    for variable, value in {**queues[chosen].environment, **values}.items():
        # a variable of the user's own is a choice for this run
        os.environ.setdefault(variable, value)
    module = queues[chosen].tasks_module
    key = f"{file}: tasks_module = {shown(module)} of [queues.{chosen}]"
    _import(module, root=root, named_by=key)
    return FoundTask(task=_registered(name, module), queue=chosen)


def _queue_of(
    task: str, queues: Mapping[str, QueueSettings], file: Path, *, preferred: str | None
) -> str:
    runs = {name: queue for name, queue in queues.items() if task in queue.tasks}
    if not runs:
        known = _listed({name for queue in queues.values() for name in queue.tasks})
        raise InvalidName(
            f"unknown task {shown(task)}: the queues in {file} run {known}; add it to `tasks` of "
            "one, or name the module that registers it with --tasks"
        )
    if preferred in runs:
        return preferred
    modules = {queue.tasks_module for queue in runs.values()}
    if len(modules) > 1:
        raise InvalidName(
            f"task {shown(task)} is run by queues {_listed(runs)} of {file}, from the modules "
            f"{_listed(modules)}; name one of these with --tasks"
        )
    return next(iter(runs))


def _import(module: str, *, root: Path, named_by: str) -> None:
    """Raises: SettingsError, with the place and the remedy, in one line."""
    # a worker's process begins in the folder of the project, too
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        with OnlyHere():
            importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name is not None and f"{module}.".startswith(f"{problem.name}."):
            raise SettingsError(
                f"{named_by}: there is no module {shown(problem.name)} in {root}; make it, or "
                "correct the name"
            ) from None
        raise _failed(problem, root, named_by, f"install {problem.name} here") from None
    except (Exception, SystemExit) as problem:  # noqa: BLE001 (whatever it raises, the user reads it)
        raise _failed(problem, root, named_by, "correct it") from None


def _failed(problem: BaseException, root: Path, named_by: str, remedy: str) -> SettingsError:
    at = place_of(problem, root=root) or named_by
    said = cut(" ".join(said_by(problem).split()), _LONGEST)
    return SettingsError(
        f"{at}: {type(problem).__name__}: {said}; {remedy} (imported by {named_by})"
    )


def _registered(name: str, module: str) -> Task:
    if name not in registry:
        raise InvalidName(
            f"module {shown(module)} registers no task {shown(name)} (it registers "
            f'{_listed(registry)}); decorate its function with @task("{cut(name, _LONGEST)}")'
        )
    return registry[name]


def _listed(names: Iterable[str]) -> str:
    return cut(", ".join(sorted(names)), _LONGEST) or "none"
