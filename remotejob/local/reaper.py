"""End the workers when the server is gone, however it ended: `python -I -S reaper.py`.

A server that is killed cannot end its workers, which would ask the next one for work with keys that
it does not know. So this process reads from the server `+PID` for each worker that starts and
`-PID` for each that ends; at the end of its input, it kills those that are left.

It imports the standard library alone, because it starts with each server that has workers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def main(lines: Iterable[bytes]) -> None:
    """Follow what the server says until it ends."""
    running: set[int] = set()
    for line in lines:
        pid = int(line[1:])
        if line.startswith(b"+"):
            running.add(pid)
        else:
            running.discard(pid)
    for pid in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # kill it first, so that it starts no other processes
            os.kill(pid, signal.SIGKILL)
        kill_session(pid)


def kill_session(leader: int) -> None:
    """Kill what else is in the session of a process that was killed, or has ended.

    A process group would miss a worker's children.
    """
    killed = {leader}
    while found := _session(leader) - killed:
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


if __name__ == "__main__":
    main(sys.stdin.buffer)
