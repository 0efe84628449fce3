"""One `remotejob local` at a time in a folder: they would write over one another's files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remotejob.local.errors import LocalError


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder for as long as the block lasts, or this process.

    Raises: LocalError, naming the process that holds it.
    """
    # not at the top: the other commands work where there is none
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise LocalError(
                f"`remotejob local` runs in {Path.cwd()} already, as process {holder}; "
                "end it first, or work in another copy of the project"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
