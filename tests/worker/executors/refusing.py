"""A system that has no room for another process."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch


@dataclass
class Tried:
    """What was asked of the system."""

    count: int = 0
    room: bool = False


@contextmanager
def no_room() -> Iterator[Tried]:
    """Until there is room, starting a child process fails as fork(2) does."""
    tried, start = Tried(), subprocess.Popen

    def popen(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        if tried.room:
            return start(*args, **kwargs)
        tried.count += 1
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with patch("remotejob.worker.executors.processes.child_process.subprocess.Popen", popen):
        yield tried
