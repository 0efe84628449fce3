"""The files of a project, and what a change of each one concerns."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Final, Self

import remotejob
from remotejob.local.secret_values import FILE as SECRET_VALUES

_LEFT_OUT: Final = frozenset(
    {"__pycache__", "build", "cdk.out", "dist", "docs", "node_modules", "tests", "venv"}
)
"""Folders that hold results, tests or other people's code. Hidden ones are left out, too."""
_LEFTOVERS: Final = ("~", "#", ".pyc", ".swp", ".tmp", ".part")
"""How the names of files end that editors and downloads make for a moment."""
_NOT_DEPLOYED: Final = frozenset({"cli", "local", "testing"})
"""Parts of the library that neither workers nor functions import."""
_SHELLS: Final = "lambdas"
"""In the library's own repository: part of the functions' code, as the library is."""


class Concerns(Enum):
    """What has to follow the change of a file."""

    WORKERS = "the workers import it"
    STACKS = "the stacks, or the code of the functions, are made from it"
    THIS_COMMAND = "`remotejob local` itself runs it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The files of the folder in which `remotejob local` was started."""

    root: Path
    settings_file: PurePath
    """Like all paths here, relative to the root if it is in it."""
    own_library: PurePath | None
    """The folder of `remotejob`, if it is in the project and not installed."""

    @classmethod
    def at(cls, root: Path, settings_file: Path) -> Self:
        root = root.resolve()
        library = _relative(Path(remotejob.__file__).resolve().parent, root)
        left_out = any(is_left_out(part) for part in library.parts)
        return cls(
            root=root,
            settings_file=_relative(settings_file.resolve(), root),
            own_library=None if left_out or library.is_absolute() else library,
        )

    def files(self) -> Iterator[PurePath]:
        """Every file but those in folders that are left out, relative to the root."""
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            folders[:] = [name for name in folders if not _is_left_out_folder(here / name)]
            for name in names:
                if not is_left_out(name):
                    yield (here / name).relative_to(self.root)
        if self.settings_file.is_absolute():
            yield self.settings_file

    def folders(self) -> list[Path]:
        """The folders in the root that are not left out."""
        entries = sorted(path for path in self.root.iterdir() if path.is_dir())
        return [path for path in entries if not _is_left_out_folder(path)]

    def concerns(self) -> dict[PurePath, frozenset[Concerns]]:
        """The files whose change concerns something, and what.

        A data file does if it is in a folder of the root that has Python files: a package may read
        it where it stands.
        """
        files = list(self.files())
        with_code = {path.parts[0] for path in files if path.suffix == ".py"}
        imported = self._imported_by_app()
        found = {path: self._concerns(path, with_code, imported) for path in files}
        return {path: concerns for path, concerns in found.items() if concerns}

    def _concerns(
        self, path: PurePath, with_code: set[str], imported: frozenset[str]
    ) -> frozenset[Concerns]:
        if path in (self.settings_file, PurePath("app.py"), PurePath("cdk.json")):
            return frozenset({Concerns.STACKS})
        if path == self.settings_file.parent / SECRET_VALUES:
            return frozenset({Concerns.WORKERS})
        if self.own_library is not None:
            if path.is_relative_to(self.own_library):
                return _of_library(path.relative_to(self.own_library))
            if path.parts[0] == _SHELLS:
                return frozenset({Concerns.STACKS})
        if path.suffix != ".py" and (len(path.parts) == 1 or path.parts[0] not in with_code):
            return frozenset()
        top = path.parts[0].removesuffix(".py")
        # a module that the app imports may be imported by tasks as well
        return frozenset(
            {Concerns.WORKERS, Concerns.STACKS} if top in imported else {Concerns.WORKERS}
        )

    def _imported_by_app(self) -> frozenset[str]:
        """The top-level names that app.py imports, itself or through modules of the project."""
        ours = None if self.own_library is None else self.own_library.parts[0]
        names: set[str] = set()
        unread = [self.root / "app.py"]
        while unread:
            for name in _imports(unread.pop()) - names:
                names.add(name)
                if name != ours:
                    unread += [self.root / f"{name}.py", *(self.root / name).rglob("*.py")]
        return frozenset(names)


def _imports(path: Path) -> set[str]:
    """The top-level names that a file imports; none if it is not there or cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def is_left_out(name: str) -> bool:
    """Whether a file or folder of this name is none of the project's sources."""
    return name.startswith((".", "#")) or name.endswith(_LEFTOVERS) or name in _LEFT_OUT


def _is_left_out_folder(path: Path) -> bool:
    return (
        is_left_out(path.name)
        or path.suffix == ".egg-info"
        # what `python -m venv` writes, whatever the folder is called
        or (path / "pyvenv.cfg").exists()
    )


def _of_library(path: PurePath) -> frozenset[Concerns]:
    part = path.parts[0]
    if part in _NOT_DEPLOYED:
        return frozenset({Concerns.THIS_COMMAND})
    if part == "cdk":
        return frozenset({Concerns.STACKS})
    return frozenset({Concerns.WORKERS, Concerns.STACKS})


def _relative(path: Path, root: Path) -> PurePath:
    return path.relative_to(root) if path.is_relative_to(root) else path
