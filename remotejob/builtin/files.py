"""Finds and writes files in a run's folder, for all built-in tasks.

Tasks pass files to each other as `location`: one name or a list of names, relative to the run's
folder, so no job's data can reach outside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remotejob.builtin.fields import shown, texts
from remotejob.builtin.refusals import BadData, BadFile
from remotejob.domain.errors import InvalidName
from remotejob.domain.name_rules import check_output_name
from remotejob.tasks.running_job import RunningJob

MOST_NAMES = 10_000


def inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder, whether or not it exists.

    Raises: BadData, when the name or a link leads out of the folder.
    """
    try:
        check_output_name(name)
    except InvalidName as problem:
        raise BadData(f"file name {shown(name)} is refused: {_in_one_line(problem)}") from None
    path = folder / name
    # a user's own step may have made a link; reading through it would leak its target as an output
    if not _followed(path, name).is_relative_to(folder.resolve()):
        raise BadData(f"file name {shown(name)} is refused: it leads out of the run's folder")
    return path


def _followed(path: Path, name: str) -> Path:
    """Where a path leads. Raises: BadData, when it leads nowhere, such as links in a circle."""
    try:
        followed = path.resolve()
        path.stat()  # which Python's versions differ in: not all look for circles above
    except (FileNotFoundError, NotADirectoryError):
        return followed
    except (OSError, RuntimeError):
        raise BadData(
            f"file name {shown(name)} is refused: its links lead in a circle, or cannot be followed"
        ) from None
    return followed


def sources(job: RunningJob, data: dict[str, Any]) -> list[Path]:
    """The files a task works on: `location`, or else the job's input.

    Raises: BadData, when there is neither; BadFile, when a file does not exist.
    """
    if data.get("location") is None:
        if job.input is None:
            raise BadData(
                "there is no file to work on: submit the job with a body, or name files "
                "of the run's folder in data['location'], as `fetch` does"
            )
        return [job.download()]
    folder = job.folder()
    paths = []
    for name in texts(data, "location", most=MOST_NAMES):
        path = inside(folder, name)
        if not path.exists():
            raise BadFile(f"location {shown(name)}: no such file in the run's folder")
        paths.append(path)
    return paths


def one_source(job: RunningJob, data: dict[str, Any]) -> Path:
    """The one file a task works on.

    Raises: as `sources`; BadData, when there are more.
    """
    paths = sources(job, data)
    if len(paths) != 1:
        raise BadData(f"location lists {len(paths)} files: give one")
    return regular(paths[0])


def regular(path: Path) -> Path:
    """Raises: BadFile, unless it is a file."""
    if not path.is_file():
        raise BadFile(f"{shown(path.name)} is not a file")
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to, renamed to `path` on success and removed on failure.

    Raises: BadData, when `path` already exists.
    """
    if path.exists():
        raise BadData(f"{shown(path.name)} already exists in the run's folder: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}.part")
    try:
        yield part
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _in_one_line(problem: Exception) -> str:
    return shown(str(problem))
