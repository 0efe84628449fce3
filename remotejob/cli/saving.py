"""Save outputs in a folder: all of them or none, and over no file without being asked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from remotejob.cli.visible import is_safe, visible
from remotejob.client.job import Job
from remotejob.domain.errors import InvalidInput, InvalidName
from remotejob.jobs.content.download_path import IfExists, place
from remotejob.jobs.content.outputs import Output
from remotejob.names import INPUT_PREFIX_SUBMITTED, STORED_PREFIX

_SEPARATORS: Final = frozenset("\\:" if os.name == "nt" else "\\")


def if_exists(*, force: bool) -> IfExists:
    """What `--force` says."""
    return IfExists.OVERWRITE if force else IfExists.REFUSE


def folder_of(job: Job) -> str:
    """The folders of an upload's key, such as `scans/2023`; empty for a submitted file."""
    key = "" if job.input is None else job.input.key
    if key.startswith(INPUT_PREFIX_SUBMITTED) and not key.startswith(STORED_PREFIX):
        return ""
    return key.removeprefix(STORED_PREFIX).rpartition("/")[0]


def save_outputs(
    outputs: Iterable[tuple[str, Output]], folder: Path, if_exists: IfExists
) -> list[Path]:
    """Save outputs in subfolders of a folder, which is created if missing; return their paths.

    Each output comes with its subfolder. All are downloaded before the first appears.

    Raises: InvalidInput, before anything is written, when a file exists, two have the same path,
    or a path leads out of the folder; OSError.
    """
    planned = [(_path_in(folder, under, output.name), output) for under, output in outputs]
    paths = [path for path, _ in planned]
    _check(folder, paths, if_exists)
    made: list[Path] = []
    placed: list[Path] = []
    try:
        _make_folder(folder, made)
        with tempfile.TemporaryDirectory(prefix=".remotejob-", dir=folder) as staging:
            parts = [
                output.download(Path(staging, str(number)))
                for number, (_, output) in enumerate(planned)
            ]
            for part, path in zip(parts, paths, strict=True):
                _make_folder(path.parent, made)
                place(part, path, if_exists)
                placed.append(path)
    except BaseException:
        # what was there before is not ours to remove
        if if_exists is IfExists.REFUSE:
            for path in placed:
                path.unlink(missing_ok=True)
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise
    return paths


def _path_in(folder: Path, under: str, name: str) -> Path:
    """Raises: InvalidName, when an output's name would lead out of the folder."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidName(f"output {visible(name)!r:.200} leads out of its folder; it is not saved")
    folders = ["_" if part == ".." else part for part in under.split("/") if part not in ("", ".")]
    return folder.joinpath(*map(_safe, folders + parts))


def _safe(part: str) -> str:
    """A part of a key as a file's name: without backslashes, colons on Windows, and controls."""
    return "".join(
        "_" if letter in _SEPARATORS or not is_safe(letter) else letter for letter in part
    )


def _check(folder: Path, paths: list[Path], if_exists: IfExists) -> None:
    parents = {parent for path in paths for parent in path.relative_to(folder).parents}
    for number, path in enumerate(paths):
        if path in paths[:number] or path.relative_to(folder) in parents:
            raise InvalidInput(
                f"two outputs would both be {path}; save them one by one, with --name"
            )
    for parent in sorted(parents - {Path()}):
        here = folder / parent
        if here.is_symlink():
            raise InvalidInput(f"{here} is a symbolic link; choose a folder without it")
        if here.exists() and not here.is_dir():
            raise InvalidInput(f"{here} exists and is no folder; choose another folder")
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        if path.is_dir() and not path.is_symlink():
            raise InvalidInput(f"{path} exists and is a folder; choose another folder")
    if there and if_exists is IfExists.REFUSE:
        others = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise InvalidInput(
            f"{there[0]}{others} exists already; choose another folder, or --force to overwrite"
        )


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note which were missing."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        made.append(path)
