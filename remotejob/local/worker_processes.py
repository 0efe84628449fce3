"""Worker processes. The server owns them, so they end when it does."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from remotejob.local import private_files

_STOPPING: Final = ((signal.SIGTERM, 2.0), (signal.SIGQUIT, 4.0))
"""The signals that ask a worker to stop, and how many seconds it has for each."""


@dataclass(kw_only=True)
class _Process:
    process: subprocess.Popen[bytes]
    ended: threading.Event = field(default_factory=threading.Event)


class WorkerProcesses:
    """Starts processes, signals them and waits for them; each has a number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, _Process] = {}

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

    def _reap(self, ended: _Process) -> None:
        ended.process.wait()
        # A container ends with its first process, so processes it left behind must end too.
        _kill_all(ended.process)
        ended.ended.set()


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its whole session; a process group would miss a worker's children."""
    with contextlib.suppress(ProcessLookupError):
        # kill it first, so that it starts no other processes
        process.kill()
    killed = {process.pid}
    while found := _session(process.pid) - killed:
        for pid in found:
            # It may have ended by itself; macOS answers EPERM for a zombie.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # look again: one of them may have started another process meanwhile
        killed |= found


def _session(leader: int) -> set[int]:
    """Ids of the processes in the session that this process leads."""
    members = set()
    for pid in _all_processes():
        # It may have ended since the listing, or belong to another user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                members.add(pid)
    return members


def _all_processes() -> list[int]:
    proc = Path("/proc/self")
    if proc.exists():
        return [int(entry.name) for entry in proc.parent.iterdir() if entry.name.isdecimal()]
    listed = subprocess.run(["/bin/ps", "-axo", "pid="], capture_output=True, check=True)
    return [int(pid) for pid in listed.stdout.split()]
