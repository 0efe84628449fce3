"""The folder of `remotejob local`: one at a time, as two would overwrite each other's files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from remotejob.local import private_files
from remotejob.local.errors import LocalError

_REFUSALS: Final = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS, errno.EIO}
)


@contextmanager
def refusals_named(folder: Path) -> Iterator[None]:
    """Name the folder in an error of the file system that names no file.

    Raises: LocalError.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno not in _REFUSALS or problem.filename is not None:
            raise
        raise LocalError(
            f"{folder.resolve()}: {problem.strerror}; `remotejob local` writes there: make room, "
            "or make it writable"
        ) from None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder until the block, or this process, ends.

    Raises: LocalError, which names the process that holds the lock; NotPrivate.
    """
    # imported here because Windows has no fcntl, and the other commands work without it
    import fcntl

    private_files.make_folder(folder)
    with os.fdopen(private_files.open_lock(folder / "lock"), "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise LocalError(
                f"`remotejob local` is already running in {Path.cwd()}, as process {holder}; "
                "stop it first, or work in another copy of the project"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
