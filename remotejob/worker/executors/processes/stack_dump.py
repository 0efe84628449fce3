"""The stack of a child process, as its interpreter writes it: when asked, and as it crashes.

It writes it from within a signal handler, whatever the process is at: also where a library written
in C does not return, and where that library has brought the process down.

Source: Python Standard Library, "faulthandler".
"""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import takewhile
from typing import Final

_ASK: Final = signal.SIGUSR2
_PATIENCE: Final = 0.5
_LOOK: Final = 0.02
"""Seconds; it is written in less than a millisecond, once the process has a processor."""

_LONGEST: Final = 16_384
"""Bytes that are read of it. The interpreter writes no more than a hundred calls."""

_OURS: Final = f"{os.sep}remotejob{os.sep}worker{os.sep}executors{os.sep}in_thread.py"
"""What called the task: of it, and of what is beneath it, nothing is shown."""


def write_into(file: int) -> None:
    """Have this process write its stack into an open file from now on."""
    # of the thread in which the task runs: the kernel gives that one the signal
    faulthandler.enable(file, all_threads=False)
    faulthandler.register(_ASK, file, all_threads=False)


class Dump:
    """Where one child process writes its stack. Safe across threads."""

    def __init__(self) -> None:
        """Raises: OSError."""
        self._lock = threading.Lock()
        # unbuffered: the child shares the place where it is written next
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (as long as the process)

    def fileno(self) -> int:
        """For the child to write into."""
        return self._file.fileno()

    def clear(self) -> None:
        """Forget what was written; before the process runs a job."""
        with self._lock:
            self._file.seek(0)
            self._file.truncate()

    def asked(self, send: Callable[[signal.Signals], None]) -> str | None:
        """Ask for the stack with a signal, and wait half a second for it."""
        send(_ASK)
        end = time.monotonic() + _PATIENCE
        before = b""
        while time.monotonic() < end:
            time.sleep(_LOOK)
            written = self._written()
            if written and written == before:
                break
            before = written
        return self.read()

    def read(self) -> str | None:
        """The stack that was written, the most recent call first; None, where there is none."""
        lines = self._written().decode(errors="replace").splitlines()
        return "\n".join(takewhile(lambda line: _OURS not in line, lines)) or None

    def _written(self) -> bytes:
        with self._lock:
            return b"" if self._file.closed else os.pread(self._file.fileno(), _LONGEST, 0)

    def close(self) -> None:
        with self._lock:
            self._file.close()
