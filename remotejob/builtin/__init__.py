"""Tasks for everyday work, safe to offer to everybody who may submit jobs.

    from remotejob import builtin, task

    builtin.register()                                    # all of them, in your tasks module
    task("fetch")(builtin.fetch)                          # or one, under any name
    task("fetch-internal")(builtin.Fetch(allow=("files.internal",)).run)

The operator who registers a task sets its limits, with `Fetch(...)`, `Untar(...)` and so on. A
job's data cannot widen them.

Source: forerunner, `lib/builtins/tasks`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from remotejob.builtin.fetch import Fetch
from remotejob.builtin.get_hrefs import GetHrefs
from remotejob.builtin.key_map import key_map, ping
from remotejob.builtin.pluck_data import PluckData
from remotejob.builtin.refusals import BadData, BadFile, FetchFailed, FetchRefused
from remotejob.builtin.targz import TarGz
from remotejob.builtin.untar import Untar
from remotejob.builtin.word_count import WordCount
from remotejob.domain.errors import InvalidName
from remotejob.tasks.registry import Registry, registry
from remotejob.tasks.running_job import RunningJob

__all__ = [
    "TASKS",
    "BadData",
    "BadFile",
    "Fetch",
    "FetchFailed",
    "FetchRefused",
    "GetHrefs",
    "PluckData",
    "TarGz",
    "Untar",
    "WordCount",
    "fetch",
    "get_hrefs",
    "key_map",
    "ping",
    "pluck_data",
    "register",
    "targz",
    "untar",
    "word_count",
]

fetch: Final = Fetch().run
get_hrefs: Final = GetHrefs().run
pluck_data: Final = PluckData().run
targz: Final = TarGz().run
untar: Final = Untar().run
word_count: Final = WordCount().run

TASKS: Final[Mapping[str, Callable[[RunningJob], dict[str, Any]]]] = MappingProxyType(
    {
        "fetch": fetch,
        "get_hrefs": get_hrefs,
        "key_map": key_map,
        "ping": ping,
        "pluck_data": pluck_data,
        "targz": targz,
        "untar": untar,
        "word_count": word_count,
    }
)
"""All built-in tasks, under their names in forerunner."""

Options = Fetch | GetHrefs | PluckData | TarGz | Untar | WordCount


def register(
    registry: Registry = registry,
    *options: Options,
    names: Iterable[str] = tuple(TASKS),
) -> None:
    """Register the tasks of these names; `options` replace the defaults of their tasks.

        builtin.register(registry, Fetch(allow=("10.1.0.0/16",)), names=("fetch", "targz"))

    Raises: InvalidName, when there is no such task, when options are given for a task that is not
    named, or when a name is taken.
    """
    chosen = dict.fromkeys(names)
    for name in chosen:
        if name not in TASKS:
            close = difflib.get_close_matches(name, TASKS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"use {', '.join(TASKS)}"
            raise InvalidName(f"no built-in task is called {name!r}: {hint}")
    special = {one.name: one.run for one in options}
    if len(special) < len(options) or not special.keys() <= chosen.keys():
        raise InvalidName(
            f"options are given for {', '.join(one.name for one in options)}, but these tasks are "
            f"registered: {', '.join(chosen) or 'none'}; give each of them options at most once"
        )
    for name in chosen:
        registry.task(name)(special.get(name, TASKS[name]))
