"""The temporary folder of this process, which others remove if it dies.

The process holds a lock on its folder (flock(2)), which the system releases when the process ends.
A folder without a lock is a dead process's: a process number, which is used again, would not tell.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

from remotejob.tasks.forked import keep_private

# on Windows, nothing is locked and nothing swept
if sys.platform != "win32":
    import fcntl

_PREFIX: Final = "remotejob-process-"


class _Folder:
    """A folder of this process's own, locked as long as it lives."""

    def __init__(self) -> None:
        self.place: Final = tempfile.gettempdir()
        self.process: Final = os.getpid()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            locked = _lock(self.path)
            if locked is not None or sys.platform == "win32":
                break
            # a process that swept saw it before it was locked
        self._file = -1 if locked is None else locked
        if locked is not None:
            keep_private(self)
        atexit.register(self.remove)

    def fileno(self) -> int:
        return self._file

    def remove(self) -> None:
        if os.getpid() == self.process:
            shutil.rmtree(self.path, ignore_errors=True)


_lock_of_own: Final = threading.Lock()
_own: _Folder | None = None


def process_folder() -> Path:
    """The folder of this process, made at the first call, and again if it is gone."""
    global _own
    with _lock_of_own:
        if _own is None or _own.process != os.getpid() or not _own.path.is_dir():
            _own = _Folder()
        return _own.path


def remove_of_dead() -> None:
    """Remove the folders of this user's processes that have died, however they did."""
    if sys.platform == "win32":
        return
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        locked = _lock(path)
        if locked is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(locked)


def _lock(path: Path) -> int | None:
    """Lock a folder of this user; None if another process has it, or it is gone."""
    if sys.platform == "win32":
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (OSError, AttributeError):
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(file)
        # not one that was removed before it was locked
        if found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode) and path.is_dir():
            return file
    os.close(file)
    return None
