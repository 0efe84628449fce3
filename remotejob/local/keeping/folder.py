"""The folder in which an embedded AWS keeps its data.

lock            held by the server that uses the folder
access.json     the port and the administrator's keys
data/           what is kept: data.sqlite3 and contents/
data.old/       what was there before the last start with `Begin.EMPTY`
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from remotejob.local import private_files
from remotejob.local.errors import StateUnusable

_LOCK_TIMEOUT_S: Final = 15.0
"""A server whose parent was killed saves once more, and ends within a second or two."""
_LOCK_POLL_S: Final = 0.05


class Begin(StrEnum):
    """What a start does with the data kept from earlier ones."""

    KEPT = "kept"
    """It goes on with them."""
    EMPTY = "empty"
    """It moves them aside, over those it moved before, and begins with none."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and hold its lock. Waits a while for a server that is about to end.

    Raises: StateUnusable, which names the process that holds it; NotPrivate.
    """
    # imported here because Windows has no fcntl, and the other commands work without it
    import fcntl

    private_files.make_folder(folder)
    end = time.monotonic() + _LOCK_TIMEOUT_S
    with os.fdopen(private_files.open_lock(folder / "lock"), "r+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StateUnusable(
                        f"{folder} is in use by process {file.read().strip() or 'unknown'}; "
                        "end that, or use another folder"
                    ) from None
                time.sleep(_LOCK_POLL_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def data_folder(folder: Path, begin: Begin) -> Path:
    """Make the folder of the data; move earlier data aside if it begins empty.

    Hold the lock. Raises: NotPrivate.
    """
    data = folder / "data"
    if begin is Begin.EMPTY and data.exists():
        old = folder / "data.old"
        shutil.rmtree(old, ignore_errors=True)
        data.rename(old)
    private_files.make_folder(data)
    return data
