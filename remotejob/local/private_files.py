"""Folders and files of the embedded AWS, which only its own user may read.

Other users of the machine can plant links in folders they can write to, such as `/tmp`. No path
here is followed through a link in its last part, and a folder that is somebody else's is refused.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from remotejob.local.errors import NotPrivate

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


def make_folder(path: Path) -> None:
    """Make a folder, or make one that exists private.

    Raises: NotPrivate, when the path is a link, no folder, or another user's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as problem:
        raise NotPrivate(f"{path} is a link or no folder ({problem.strerror}); remove it") from None
    try:
        if os.fstat(opened).st_uid != os.geteuid():
            raise NotPrivate(f"{path} is another user's folder; use one of your own")
        os.fchmod(opened, _FOLDER_MODE)
    finally:
        os.close(opened)


def open_log(path: Path) -> BinaryIO:
    """Open a file to append to, and make it if it does not exist.

    Raises: NotPrivate, when the path is a link, no ordinary file, or another user's.
    """
    return os.fdopen(_opened(path, os.O_WRONLY | os.O_APPEND), "ab")


def open_lock(path: Path) -> int:
    """Open a file to lock, read and write; return its descriptor. Raises: as `open_log`."""
    return _opened(path, os.O_RDWR)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file at once: a reader finds what was there before, or all of this.

    Raises: as `open_log`; OSError, when the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(_opened(part, os.O_WRONLY), "wb") as file:
        # not by O_TRUNC: that would empty a file before we know that it is ours
        file.truncate(0)
        file.write(content)
    part.replace(path)


def read_file(path: Path) -> bytes:
    """The content of a file that only its user can write and read.

    Raises: FileNotFoundError; NotPrivate, when it is a link, or another user's, or open to others.
    """
    opened = _existing(path)
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not _is_own(found) or stat.S_IMODE(found.st_mode) & 0o077:
            raise NotPrivate(f"{path} is not a private file of your own; remove it")
        return file.read()


def make_file_private(path: Path) -> None:
    """Let only its user read a file that exists.

    Raises: FileNotFoundError; NotPrivate, when it is a link, or another user's.
    """
    opened = _existing(path)
    try:
        if not _is_own(os.fstat(opened)):
            raise NotPrivate(f"{path} is not a file of your own; remove it")
        os.fchmod(opened, _FILE_MODE)
    finally:
        os.close(opened)


def _existing(path: Path) -> int:
    """Raises: FileNotFoundError; NotPrivate, when it cannot be opened for another reason."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise NotPrivate(f"{path} cannot be opened ({problem.strerror}); remove it") from None


def _is_own(found: os.stat_result) -> bool:
    # a second name of a file elsewhere is a link too
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1


def _opened(path: Path, flags: int) -> int:
    try:
        # O_NONBLOCK, because opening a pipe would wait for its other end
        opened = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, _FILE_MODE)
    except OSError as problem:
        raise NotPrivate(f"{path} cannot be opened ({problem.strerror}); remove it") from None
    if not _is_own(os.fstat(opened)):
        os.close(opened)
        raise NotPrivate(f"{path} is not a file of your own; remove it")
    os.fchmod(opened, _FILE_MODE)
    return opened
