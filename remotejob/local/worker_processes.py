"""Worker processes. The server owns them, so they end when it does."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from remotejob.local import private_files, reaper
from remotejob.local.reaper import kill_session

_STOPPING: Final = ((signal.SIGTERM, 2.0), (signal.SIGQUIT, 4.0))
"""The signals that ask a worker to stop, and how many seconds it has for each."""


@dataclass(kw_only=True)
class _Process:
    process: subprocess.Popen[bytes]
    ended: threading.Event = field(default_factory=threading.Event)


class WorkerProcesses:
    """Starts processes, signals them and waits for them; each has a number."""

    def __init__(self, *, on_end: Callable[[], None] = lambda: None) -> None:
        """`on_end` is called after each end of a process."""
        self._on_end = on_end
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, _Process] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def start(
        self, command: list[str], *, environment: dict[str, str], directory: str, log: Path
    ) -> tuple[int, int]:
        """Start a process; return its number and process id.

        Raises: OSError, when it cannot be started; NotPrivate, for the log.
        """
        with self._lock, private_files.open_log(log) as output:
            process = subprocess.Popen(  # noqa: S603  (the command of the task definition)
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Its own session, so that we can kill all of it, as a container would be.
                start_new_session=True,
            )
            number = next(self._numbers)
            self._processes[number] = started = _Process(process=process)
            self._tell_reaper(f"+{process.pid}\n")
        threading.Thread(target=self._reap, args=(started,), daemon=True).start()
        return number, process.pid

    def signal(self, number: int, which: int) -> None:
        """Send a signal, unless the process has ended. SIGKILL goes to everything it started."""
        process = self._processes[number].process
        if process.poll() is not None:
            return
        if which == signal.SIGKILL:
            _kill_all(process)
        else:
            process.send_signal(which)

    def wait(self, number: int, timeout_s: float) -> int | None:
        """The exit code, negative for a signal; None if it still runs after `timeout_s`."""
        found = self._processes[number]
        found.ended.wait(timeout_s)
        return found.process.returncode if found.ended.is_set() else None

    def stop(self) -> None:
        """Let all finish or give back their jobs. Those that do neither in time keep running.

        Short jobs finish; a second, more urgent signal makes a worker give back the others.
        """
        for which, wait_s in _STOPPING:
            running = [
                found for found in list(self._processes.values()) if not found.ended.is_set()
            ]
            for found in running:
                if found.process.poll() is None:
                    found.process.send_signal(which)
            end = time.monotonic() + wait_s
            for found in running:
                found.ended.wait(max(0, end - time.monotonic()))

    def close(self) -> None:
        """Kill all running processes."""
        for found in list(self._processes.values()):
            if found.process.poll() is None:
                _kill_all(found.process)
            found.process.wait()
        # each has told the reaper by then
        for found in list(self._processes.values()):
            found.ended.wait()
        with self._lock:
            following, self._reaper = self._reaper, None
        if following is not None:
            assert following.stdin is not None
            following.stdin.close()
            following.wait()

    def _reap(self, ended: _Process) -> None:
        ended.process.wait()
        # A container ends with its first process, so processes it left behind must end too.
        _kill_all(ended.process)
        with self._lock:
            self._tell_reaper(f"-{ended.process.pid}\n")
        ended.ended.set()
        self._on_end()

    def _tell_reaper(self, line: str) -> None:
        """Start the process that ends the workers if we are killed, and tell it of one."""
        if self._reaper is None:
            self._reaper = subprocess.Popen(  # noqa: S603  (our own program)
                [sys.executable, "-I", "-S", reaper.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
        assert self._reaper.stdin is not None
        # without a reaper, workers outlive a server that is killed, and do nothing else wrong
        with contextlib.suppress(OSError):
            self._reaper.stdin.write(line.encode())


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        # first, so that it starts no other processes
        process.kill()
    kill_session(process.pid)
