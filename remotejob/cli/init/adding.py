"""Writes the files of a project: all of them or none, and never over one of yours."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remotejob.cli.init.advice import advice
from remotejob.cli.init.template import EXAMPLE, FILES, content
from remotejob.domain.errors import InvalidInput
from remotejob.domain.text import shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What was done in a folder. Paths are relative to it."""

    added: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Files that were there."""
    to_do: tuple[str, ...] = ()
    """What files of yours lack."""


def make(folder: Path, project: str) -> Made:
    """Make a project in a new folder, which appears once it is whole.

    Raises: InvalidInput, when there is something; OSError.
    """
    check_new(folder)
    files = _files(project, (*FILES, *EXAMPLE))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".remotejob-") as making:
        made = Path(making) / "project"
        made.mkdir()
        for name, data in files.items():
            _write(made / name, data, [])
        with suppress(FileNotFoundError):
            # it is empty: nothing else passes the check, and rmdir removes nothing else
            folder.rmdir()
        made.rename(folder)
    return Made(added=tuple(files))


def check_new(folder: Path) -> None:
    """Raises: InvalidInput, unless the folder is missing or empty and its parent is there."""
    if not folder.parent.is_dir():
        raise InvalidInput(
            f"{shown(str(folder))}: there is no folder {shown(str(folder.parent))}; make it first"
        )
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        raise InvalidInput(f"{shown(str(folder))}: that is no folder; name another one")
    if folder.is_dir() and any(folder.iterdir()):
        raise InvalidInput(
            f"{shown(str(folder))}: the folder is not empty; name a new one, or go there and run"
            " `remotejob init .`, which adds what is missing"
        )


def add(folder: Path, project: str) -> Made:
    """Add to an existing folder what it lacks.

    Raises: InvalidInput, when a file of yours is in the place of a folder; OSError.
    """
    own_tasks = (folder / "tasks").exists() or (folder / "tasks.py").exists()
    files = _files(project, FILES if own_tasks else (*FILES, *EXAMPLE))
    kept = [name for name in files if _is_there(folder / name)]
    missing = [name for name in files if name not in kept]
    for name in missing:
        _check_parents(folder, name)
    made: list[Path] = []
    try:
        for name in missing:
            _write(folder / name, files[name], made)
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise
    to_do = advice(folder, kept, wanted=files)
    if own_tasks and "remotejob.toml" in missing:
        to_do.append("remotejob.toml: name your tasks, and their uploads, in place of `report`")
    return Made(added=tuple(missing), kept=tuple(kept), to_do=tuple(to_do))


def _files(project: str, names: tuple[str, ...]) -> Mapping[str, bytes]:
    return {name: content(name, project) for name in sorted(names)}


def _is_there(path: Path) -> bool:
    # a link that leads nowhere is somebody's, too
    return path.exists() or path.is_symlink()


def _check_parents(folder: Path, name: str) -> None:
    for parent in Path(name).parents:
        if _is_there(folder / parent) and not (folder / parent).is_dir():
            raise InvalidInput(
                f"{parent}: that is no folder, and {name} belongs there; rename your file"
            )


def _write(path: Path, data: bytes, made: list[Path]) -> None:
    """Write a new file, and note in `made` what must be removed again if a later one fails."""
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir()
            made.append(parent)
    # x: a file that came meanwhile stays as it is
    with path.open("xb") as file:
        made.append(path)
        file.write(data)
