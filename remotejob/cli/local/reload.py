"""Reloads what changed files concern: the workers, the functions, the stacks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Final

from remotejob.cli.local.snapshot import Snapshot
from remotejob.cli.local.sources import Concerns, Sources
from remotejob.domain.text import counted

_NAMED: Final = 3
"""Files that a line names; it counts the others."""


class Changes:
    """What has changed since the files were loaded."""

    def __init__(self, sources: Sources) -> None:
        """Remembers the files as they are now: make it before anything imports them."""
        self._sources = sources
        self._concerns: Mapping[PurePath, frozenset[Concerns]] = sources.concerns()
        self._loaded = Snapshot.take(sources.root, self._concerns)

    def take(self) -> dict[PurePath, frozenset[Concerns]]:
        """The files that changed since the last call, and what each concerns."""
        before, known = self._loaded, self._concerns
        self._concerns = self._sources.concerns()
        self._loaded = Snapshot.take(self._sources.root, self._concerns, before=before)
        return {
            # one that was deleted concerns what it did before
            path: self._concerns.get(path) or known[path]
            for path in self._loaded.changed_since(before)
        }


def reload(
    changed: Mapping[PurePath, frozenset[Concerns]],
    *,
    root: Path,
    restart_workers: Callable[[Callable[[], None]], int],
    update_stacks: Callable[[str], None],
    stacks_refused: bool,
    say: Callable[[str], None],
) -> None:
    """Reload what the files concern, and say so.

    `restart_workers` calls its argument between the end of the old ones and the start of the new
    ones, and returns how many; `update_stacks` gets the names of the files. If the last update was
    refused (`stacks_refused`), any file may mend that: a value of a secret, for example.
    """
    if paths := _concerning(Concerns.WORKERS, changed):
        restarted = restart_workers(partial(_forget_compiled, root, paths))
        say(f"reloaded {named(paths)}: {counted(restarted, 'worker')} restarted")
    if paths := [*changed] if stacks_refused else _concerning(Concerns.STACKS, changed):
        update_stacks(named(paths))
    if paths := _concerning(Concerns.THIS_COMMAND, changed):
        say(f"{named(paths)} changed: end `remotejob local` and start it again to run it")


def named(paths: Sequence[PurePath]) -> str:
    """The first files by name, and the number of the others."""
    shown = [path.as_posix() for path in paths[:_NAMED]]
    if more := len(paths) - len(shown):
        shown.append(counted(more, "more file"))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _concerning(what: Concerns, changed: Mapping[PurePath, frozenset[Concerns]]) -> list[PurePath]:
    return [path for path, concerns in changed.items() if what in concerns]


def _forget_compiled(root: Path, paths: Iterable[PurePath]) -> None:
    """Delete the compiled files of modules.

    Python takes one for current if the source has the same size and the same time in whole seconds,
    so a quick second save could run the code of the first.
    """
    for path in paths:
        if path.suffix == ".py":
            # most often there is none; where we may not delete it, no worker of ours could write it
            with suppress(OSError, NotImplementedError):
                Path(importlib.util.cache_from_source(str(root / path))).unlink()
