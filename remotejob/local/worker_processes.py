"""The processes of workers, owned by the server: they end when it does, whoever asked for them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class _Process:
    process: subprocess.Popen[bytes]
    ended: threading.Event = field(default_factory=threading.Event)


class WorkerProcesses:
    """Starts, signals and waits for processes, each known by a number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._processes: dict[int, _Process] = {}

    def start(
        self, command: list[str], *, environment: dict[str, str], directory: str, log: Path
    ) -> tuple[int, int]:
        """Number and process id of a new process. Raises: OSError, when it cannot be started."""
        with self._lock, log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  (the command of the task definition)
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A session of its own: a container ends with all that its first process started.
                start_new_session=True,
            )
            number = next(self._numbers)
            self._processes[number] = kept = _Process(process=process)
        threading.Thread(target=self._reap, args=(kept,), daemon=True).start()
        return number, process.pid

    def signal(self, number: int, which: int) -> None:
        """Send a signal; SIGKILL goes to everything the process started. Nothing once it ended."""
        process = self._processes[number].process
        if process.poll() is not None:
            return
        if which == signal.SIGKILL:
            _kill_all(process)
        else:
            process.send_signal(which)

    def wait(self, number: int, timeout_s: float) -> int | None:
        """The exit code, negative for a signal; None when it still runs after so long."""
        kept = self._processes[number]
        kept.ended.wait(timeout_s)
        return kept.process.returncode if kept.ended.is_set() else None

    def close(self) -> None:
        """Kill whatever runs."""
        for kept in list(self._processes.values()):
            if kept.process.poll() is None:
                _kill_all(kept.process)
            kept.process.wait()

    def _reap(self, kept: _Process) -> None:
        kept.process.wait()
        # What the first process left behind would live on without its container.
        _kill_all(kept.process)
        kept.ended.set()


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its session: a worker's children have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        # first, so that it starts no others; nothing once it was waited for
        process.kill()
    killed = {process.pid}
    while found := _session(process.pid) - killed:
        for pid in found:
            # Gone by itself; macOS says EPERM of a zombie.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # once more: one of them may have started another in the meantime
        killed |= found


def _session(leader: int) -> set[int]:
    """Ids of the processes in the session that a process began."""
    members = set()
    for pid in _all_processes():
        # Ended since the listing, or somebody else's.
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
