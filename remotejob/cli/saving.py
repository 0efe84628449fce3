"""Save outputs in a folder: all of them or none, and over no file without being asked.

Only an output whose name no file may have is left out, and an error then names it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from remotejob.cli.visible import is_safe
from remotejob.client.job import Job
from remotejob.domain.errors import InvalidInput, InvalidName
from remotejob.domain.file_names import nearest_path, spelled_alike
from remotejob.jobs.content.download_path import (
    IfExists,
    check_folder,
    check_inside,
    place,
    safe_path,
)
from remotejob.jobs.content.outputs import Output
from remotejob.names import INPUT_PREFIX_SUBMITTED, STORED_PREFIX


class NotAllSaved(InvalidName):
    """Some outputs have names that no file may have; the others were saved."""

    def __init__(self, refused: Sequence[InvalidName], paths: Sequence[Path | None]) -> None:
        more = f" (and {len(refused) - 1} more such outputs)" if len(refused) > 1 else ""
        super().__init__(f"{refused[0]}{more}")
        self.paths = tuple(paths)
        """The path of each output, in the order given; None for one that was not saved."""
        self.saved = [path for path in paths if path is not None]


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

    Raises: InvalidInput, before anything is written, when a file exists, or two have the same path
    on a disk that ignores case; NotAllSaved, after the others were saved, when an output's name
    would lead out of the folder; OSError.
    """
    wanted: list[tuple[Path, Output]] = []
    paths: list[Path | None] = []
    refused: list[InvalidName] = []
    for under, output in outputs:
        try:
            path = _path_in(folder, under, output.name)
        except InvalidName as problem:
            refused.append(problem)
            paths.append(None)
        else:
            wanted.append((path, output))
            paths.append(path)
    saved = [path for path, _ in wanted]
    _check(folder, saved, if_exists)
    if wanted:
        _save(wanted, folder, if_exists)
    if refused:
        raise NotAllSaved(refused, paths)
    return saved


def _save(wanted: list[tuple[Path, Output]], folder: Path, if_exists: IfExists) -> None:
    made: list[Path] = []
    placed: list[Path] = []
    try:
        _make_folder(folder, made)
        with tempfile.TemporaryDirectory(prefix=".remotejob-", dir=folder) as staging:
            parts = [
                output.download(Path(staging, str(number)))
                for number, (_, output) in enumerate(wanted)
            ]
            for part, (path, _) in zip(parts, wanted, strict=True):
                _make_folder(path.parent, made)
                check_inside(folder, path)
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


def _path_in(folder: Path, under: str, name: str) -> Path:
    """Raises: InvalidName, when an output's name would lead out of the folder."""
    parts = safe_path(name).split("/")
    # of a key, which may be anything
    folders = [part for part in under.split("/") if part not in ("", ".")]
    return folder.joinpath(*(nearest_path(_shown(part)) for part in folders + parts))


def _shown(part: str) -> str:
    """A part of a key or name without what a terminal would hide or reorder."""
    return "".join(letter if is_safe(letter) else "_" for letter in part)


def _check(folder: Path, paths: list[Path], if_exists: IfExists) -> None:
    _check_apart([path.relative_to(folder) for path in paths], folder)
    parents = {parent for path in paths for parent in path.relative_to(folder).parents}
    for parent in sorted(parents - {Path()}):
        check_folder(folder / parent)
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        if path.is_dir() and not path.is_symlink():
            raise InvalidInput(f"{path} exists and is a folder; choose another folder")
    if there and if_exists is IfExists.REFUSE:
        others = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise InvalidInput(
            f"{there[0]}{others} exists already; choose another folder, or --force to overwrite"
        )


def _check_apart(paths: list[Path], folder: Path) -> None:
    """Raises: InvalidInput, when two are one path on some disk, or one is a folder of another."""
    alike = [spelled_alike(path.as_posix()) for path in paths]
    folders = {spelled_alike(parent.as_posix()) for path in paths for parent in path.parents}
    seen: set[str] = set()
    for path, spelled in zip(paths, alike, strict=True):
        if spelled in seen or spelled in folders:
            raise InvalidInput(
                f"two outputs would both be {folder / path}, at least on a disk that ignores case; "
                "save them one by one, with --name"
            )
        seen.add(spelled)


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note which were missing."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        made.append(path)
