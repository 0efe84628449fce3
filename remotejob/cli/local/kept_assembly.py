"""The cloud assembly, synthesized only when something that it is made from has changed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final

import remotejob
from remotejob.cli.local.sources import Concerns, Sources
from remotejob.cli.local.synthesis import synthesize
from remotejob.local.secret_values import FILE as SECRET_VALUES

_KEPT: Final = 2
"""Assemblies to keep: a change that is taken back finds the one before."""
_TEXTS: Final = frozenset(
    {".cfg", ".ini", ".in", ".j2", ".json", ".lock", ".toml", ".txt", ".yaml", ".yml"}
)
"""Suffixes of files that an app may read, wherever they are."""
_LONGEST: Final = 1024 * 1024
"""Bytes of such a file; a longer one is data."""
_ALWAYS_READ: Final = ("CDK_", "JSII_", "REMOTEJOB_")
"""Beginnings of the names of variables that the CDK and the library read."""
_WORD: Final = re.compile(rb"\w+")


def kept_assembly(sources: Sources, settings_file: Path, folder: Path) -> Path | None:
    """The assembly in `folder` that was made from what is there now; None without one."""
    found = folder / digest(sources, os.environ)
    if not (found / "manifest.json").is_file() or not settings_file.is_file():
        return None
    # the newest ones are kept
    os.utime(found)
    return found


def make_assembly(
    sources: Sources, settings_file: Path, folder: Path, *, deployed: Path | None = None
) -> Path:
    """Synthesize the app, and keep the assembly in `folder`, next to the one that is `deployed`.

    Raises: SettingsError, with the app's error output.
    """
    # before it is made: a file that changes meanwhile makes it one that nobody finds
    name = digest(sources, os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    making, made = folder / f".making-{name}", folder / name
    try:
        synthesize(settings_file, making)
        shutil.rmtree(made, ignore_errors=True)
        making.rename(made)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _remove_old(folder, made, deployed)
    return made


def remove_old_archives(assets: Path, folder: Path) -> None:
    """Remove archives of assets that no assembly in `folder` has any more.

    Each change of the library makes new ones, of more than 10 MB.
    """
    used = {asset.name.removeprefix("asset.") for asset in folder.glob("*/asset.*")}
    for archive in assets.glob("*.zip"):
        if archive.stem not in used:
            archive.unlink(missing_ok=True)


def digest(sources: Sources, environment: Mapping[str, str]) -> str:
    """The hash of all that an assembly is made from.

    That is the project's files that concern the stacks, and its files of settings; the library;
    what is installed; this Python; and the variables of the environment that the app names. The
    code of tasks is not part of it: only images hold that, and no image runs here.
    """
    found = hashlib.sha256()
    for part in _parts(sources, environment):
        # with its length, so no two lists of parts have the same digest
        found.update(len(part).to_bytes(8) + part)
    return found.hexdigest()[:16]


def _parts(sources: Sources, environment: Mapping[str, str]) -> Iterator[bytes]:
    yield sys.version.encode()
    yield sources.settings_file.as_posix().encode()
    yield from sorted(_installed())
    library = Path(remotejob.__file__).parent
    for module in sorted(library.rglob("*.py")):
        yield module.relative_to(library).as_posix().encode()
        yield module.read_bytes()
    words: set[bytes] = set()
    for path in sorted(_read_by_app(sources)):
        content = _content(sources.root / path)
        yield path.as_posix().encode()
        yield content
        if path.suffix == ".py":
            words.update(_WORD.findall(content))
    for name, value in sorted(environment.items()):
        # the shell puts the last command into _
        named = os.fsencode(name) in words and name != "_"
        if not name.startswith("AWS_") and (named or name.startswith(_ALWAYS_READ)):
            yield os.fsencode(f"{name}={value}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        # gone by now, or not ours to read: then the app cannot read it either
        return b""


def _read_by_app(sources: Sources) -> set[PurePath]:
    concerning = {
        path for path, concerns in sources.concerns().items() if Concerns.STACKS in concerns
    }
    texts = {
        path
        for path in sources.files()
        if path.name != SECRET_VALUES
        and (path.suffix in _TEXTS or path.name.startswith("Dockerfile"))
    }
    # the library is hashed wherever it is
    return {
        path
        for path in concerning | texts
        if (sources.own_library is None or not path.is_relative_to(sources.own_library))
        and (path in concerning or len(_content(sources.root / path)) <= _LONGEST)
    }


def _installed() -> set[bytes]:
    """Names and versions of the installed distributions."""
    return {
        path.name.encode()
        for entry in sys.path
        if entry and Path(entry).is_dir()
        for path in Path(entry).glob("*.dist-info")
    }


def _remove_old(folder: Path, *in_use: Path | None) -> None:
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found[_KEPT:]:
        if path not in in_use:
            shutil.rmtree(path, ignore_errors=True)
