"""Start the measured processes, read their CPU seconds and memory, and kill them reliably.

Each one leads its own session. Its children stay in that session, so we can find, measure and kill
the whole tree. Source: Linux, proc(5).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
# in the fields after the name: utime, stime, cutime, cstime; and the session
_TIMES, _SESSION = slice(11, 15), 3
_POLL_S = 0.005
_POLLS_PER_CHECK = 100
"""How many polls between checks that the process is still alive."""
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class NotReady(Exception):
    """An expected event did not happen in time."""


def supported() -> bool:
    """Whether this system has /proc."""
    return (_PROC / "self" / "stat").exists()


def members(session: int) -> list[int]:
    """Ids of the living processes of a session."""
    return [
        pid
        for entry in _PROC.iterdir()
        if entry.name.isdecimal()
        and (fields := _stat(pid := int(entry.name)))
        and int(fields[_SESSION]) == session
        and fields[0] != "Z"
    ]


def cpu_seconds(session: int) -> float:
    """User and system time of a session's processes, including children they waited for."""
    ticks = sum(
        sum(int(field) for field in fields[_TIMES])
        for pid in members(session)
        if (fields := _stat(pid))
    )
    return ticks / _TICKS


def peak_mib(session: int) -> float:
    """Peak resident memory, summed over a session's processes; shared pages count for each."""
    return sum(high_water_kib(pid) for pid in members(session)) / 1024


def kill(session: int) -> None:
    """Send SIGKILL to everything in a session until nothing is left."""
    end = time.monotonic() + 10
    while (left := members(session)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def wait_for(
    what: str, ready: Callable[[], object], *, timeout_s: float, of: Running | None = None
) -> None:
    """Wait until `ready()` is true.

    Raises: NotReady, after `timeout_s`, or when the process `of` ends first.
    """
    end = time.monotonic() + timeout_s
    polls = 0
    while not ready():
        polls += 1
        if of is not None and polls % _POLLS_PER_CHECK == 0 and not members(of.session):
            raise NotReady(f"the process ended before {what}: {of.tail()}")
        if time.monotonic() > end:
            raise NotReady(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(_POLL_S)


class Running(Protocol):
    """A running program, known by its session."""

    @property
    def session(self) -> int: ...

    def tail(self) -> str:
        """The last line it wrote."""
        ...


class Program:
    """A program in its own session."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        piped: bool = False,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603  (the commands are in this package)
                list(command),
                cwd=ROOT,
                env={k: os.environ[k] for k in _INHERITED if k in os.environ} | dict(environment),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else errors,
                stderr=errors,
                start_new_session=True,
            )
        self.session = self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, *, grace_s: float = 5) -> None:
        """Send SIGTERM, and after `grace_s` SIGKILL to whatever is left."""
        if self.alive():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the whole session."""
        kill(self.session)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command as one JSON line and read the answer; without one, only read.

        Raises: NotReady, when the program has ended.
        """
        assert self._process.stdin is not None
        if command:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotReady(f"the submitter ended: {self.tail()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tail(self) -> str:
        """The last line it wrote."""
        return last_line(self.log)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name; empty if it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def high_water_kib(pid: int) -> int:
    """The peak resident memory of one process; 0 if it has ended."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
