"""Where a downloaded file goes on disk, and what happens to a file that is there already."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from remotejob.domain.argument_checks import check_choice, encodes, plain_text
from remotejob.domain.errors import InvalidInput, InvalidName
from remotejob.domain.text import shown


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

    Raises: InvalidName, when no file can have that path.
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
    if not is_folder:
        return path
    path = path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


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
    """Move a complete file to its path. Raises: InvalidInput, if a file came to be there."""
    if if_exists is IfExists.OVERWRITE:
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


def _exists(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} exists already; give another path, or if_exists='overwrite' to replace it"
    )
