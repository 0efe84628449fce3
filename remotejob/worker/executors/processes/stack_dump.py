"""The stack dump of a child process, which its interpreter writes on request and when it crashes.

A signal handler writes it, whatever the process is doing: even if a C library does not return, or
has crashed the process.

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
"""Seconds; writing takes less than a millisecond, once the process gets a CPU."""

_LONGEST: Final = 16_384
"""Bytes to read. The interpreter writes at most a hundred calls."""

_OURS: Final = f"{os.sep}remotejob{os.sep}worker{os.sep}executors{os.sep}in_thread.py"
"""The file that calls the task: hide its frame and those below it."""


def write_into(file: int) -> None:
    """Let this process write its stack into an open file from now on."""
    # only the thread that runs the task: the kernel delivers the signal to it
    faulthandler.enable(file, all_threads=False)
    faulthandler.register(_ASK, file, all_threads=False)
    # a forked copy of the process may crash for itself
    os.register_at_fork(after_in_child=_write_no_more)


def _write_no_more() -> None:
    faulthandler.disable()
    faulthandler.unregister(_ASK)


class Dump:
    """The file into which one child process writes its stack. Safe across threads."""

    def __init__(self) -> None:
        """Raises: OSError."""
        self._lock = threading.Lock()
        # unbuffered: the child shares the file's write position
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (as long as the process)

    def fileno(self) -> int:
        """The file's number, for the child."""
        return self._file.fileno()

    def clear(self) -> None:
        """Empty the file, before the process runs a job."""
        with self._lock:
            self._file.seek(0)
            self._file.truncate()

    def request(self, send: Callable[[signal.Signals], None]) -> str | None:
        """Request the stack with a signal, and wait up to half a second for it."""
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
        """The stack that was written, the most recent call first; None if there is none."""
        lines = self._written().decode(errors="replace").splitlines()
        return "\n".join(takewhile(lambda line: _OURS not in line, lines)) or None

    def _written(self) -> bytes:
        with self._lock:
            return b"" if self._file.closed else os.pread(self._file.fileno(), _LONGEST, 0)

    def close(self) -> None:
        with self._lock:
            self._file.close()
