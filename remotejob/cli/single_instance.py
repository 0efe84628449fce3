"""Allow one `remotejob local` per folder: two would overwrite each other's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remotejob.local import private_files
from remotejob.local.errors import LocalError


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
