"""What a job left running in its child process: threads, and processes of its own."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

_PATIENCE: Final = 0.5
"""Seconds for threads that end by themselves, for example at their next call of the job."""


class Running:
    """The threads of this process at one moment."""

    def __init__(self) -> None:
        self._threads: Final = frozenset(threading.enumerate())

    def left(self) -> tuple[str, ...]:
        """What has been started since and still runs."""
        return (*(f"thread {thread.name}"[:200] for thread in self._new()), *_processes())

    def _new(self) -> list[threading.Thread]:
        # not by their number: one of the first may have ended
        started = [thread for thread in threading.enumerate() if thread not in self._threads]
        end = time.monotonic() + _PATIENCE
        for thread in started:
            thread.join(max(0.0, end - time.monotonic()))
        return [thread for thread in started if thread.is_alive()]


def _processes() -> tuple[str, ...]:
    """The live children of this process; those that have ended are reaped."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return ()
        if ended is None:
            break
        os.waitpid(ended.si_pid, 0)
    # it serves all of multiprocessing, and ends with this process
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    known = None if tracker is None else tracker._resource_tracker._pid
    children = [
        int(pid)
        for file in Path("/proc/self/task").glob("*/children")
        for pid in file.read_text().split()
    ]
    if not children and known is None:
        return ("a process",)
    return tuple(f"process {pid}" for pid in children if pid != known)
