"""Where a downloaded file goes on disk, and what happens to a file that is there already.

Every file whose name came from a record, a manifest or a key is put in its folder by `inside`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from remotejob.domain.argument_checks import check_choice, encodes, plain_text
from remotejob.domain.errors import InvalidInput, InvalidName
from remotejob.domain.file_names import leads_out, nearest_path, spelled_alike
from remotejob.domain.text import shown
from remotejob.names import RESERVED_OUTPUT_PREFIX


class IfExists(StrEnum):
    """What a download does if its file exists."""

    REFUSE = "refuse"
    """Raise `InvalidInput`, and leave the file as it is."""
    OVERWRITE = "overwrite"
    """Replace the file once the new one is complete."""


def destination(path: Path | str, name: str) -> Path:
    """The path itself, or if it is a folder, the path of `name` in it.

    A folder is one that exists, or text that ends in a slash. It is created if missing, as are the
    folders in `name`.

    Raises: InvalidName, when no file can have that path; else as `inside`.
    """
    text = str(path) if isinstance(path, Path) else plain_text(path)
    if text is None or "\0" in text or not encodes(text):
        raise InvalidName(f"path {shown(path)}: give the path of a file or folder, as text or Path")
    # only text counts: pathlib drops the slash
    is_folder = not isinstance(path, Path) and text.endswith(("/", os.sep))
    path = Path(text)
    try:
        path.lstat()
        is_folder = is_folder or path.is_dir()
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise InvalidName(f"path {shown(text)}: {problem.strerror}; give another") from None
    return inside(path, name) if is_folder else path


def inside(folder: Path, name: str) -> Path:
    """The path of a file in a folder, under the nearest name that every platform takes.

    The folder may be a link, as its owner chose it; below it, no link is followed. The folders of
    the path are created. Another process that can write to the folder could still put a link there
    between this check and the write.

    Raises: InvalidName, when the name leads out of the folder; InvalidInput, when a folder of it is
    a link or a file.
    """
    path = folder / safe_path(name)
    _check_is_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for parent in reversed(path.relative_to(folder).parents[:-1]):
        check_folder(folder / parent)
        (folder / parent).mkdir(exist_ok=True)
    check_inside(folder, path)
    return path


def check_inside(folder: Path, path: Path) -> None:
    """The last word, whatever a platform makes of a name. Raises: InvalidName."""
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise InvalidName(f"{shown(str(path))} leads out of its folder; give the path of a file")


def safe_path(name: str) -> str:
    """A name as a relative path that every platform takes. Raises: InvalidName."""
    problem = leads_out(name)
    if name.startswith(RESERVED_OUTPUT_PREFIX):
        problem = "the folder '-' is reserved"
    if problem is not None:
        raise InvalidName(
            f"no file can be called {shown(name)}, so it is not written: {problem}, or give the "
            "path of a file of your own"
        )
    return nearest_path(name)


def check_folder(path: Path) -> None:
    """Raises: InvalidInput, when a link or a file is where a folder must be."""
    if path.is_symlink():
        raise InvalidInput(f"{path} is a symbolic link; choose a folder without it")
    _check_is_folder(path)


def _check_is_folder(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise InvalidInput(f"{path} exists and is no folder; choose another folder")


def download_to(path: Path, download: Callable[[Path], object], if_exists: IfExists | str) -> None:
    """Download a file, which appears only once it is complete.

    Raises: InvalidInput, before anything is read, if it exists and is not to be overwritten;
    InvalidName, for an unknown `if_exists`.
    """
    if_exists = check_choice("if_exists=", if_exists, IfExists)
    if if_exists is IfExists.REFUSE and os.path.lexists(path):
        raise _exists(path)
    part = path.with_name(f".part-{uuid4().hex}")
    try:
        download(part)
        place(part, path, if_exists)
    finally:
        part.unlink(missing_ok=True)


def place(part: Path, path: Path, if_exists: IfExists) -> None:
    """Move a complete file to its path; a link there is replaced, not followed.

    Raises: InvalidInput, if a file came to be there, or one of another name would be overwritten.
    """
    if if_exists is IfExists.OVERWRITE:
        if os.path.lexists(path):
            check_spelling(path.name, [other.name for other in path.parent.iterdir()])
        part.replace(path)
        return
    try:
        # refuses an existing file in the same step, which a rename does on Windows alone
        path.hardlink_to(part)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # some file systems have no hard links
        if os.path.lexists(path):
            raise _exists(path) from None
        part.rename(path)


def check_spelling(name: str, there: Collection[str]) -> None:
    """Refuse to overwrite a file whose name this disk takes for the same, such as `A` for `a`.

    `there` are the names in a folder where a file of this name exists. Raises: InvalidInput.
    """
    if name in there:
        return
    alike = [other for other in there if spelled_alike(other) == spelled_alike(name)]
    if alike:
        raise InvalidInput(
            f"{shown(name)} would overwrite {shown(alike[0])}, which this disk takes for the same "
            "name; give another path"
        )


def _exists(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} exists already; give another path, or if_exists='overwrite' to replace it"
    )
