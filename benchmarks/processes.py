"""The processes that are measured: their CPU seconds, their memory, and their certain end.

Every one is started as the leader of a session; whatever it starts stays in that session, so that
the whole tree is found, measured and killed. Source: Linux, proc(5).
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
_LOOK_S = 0.005
_LOOKS = 100
"""Looks for what is awaited, for each one at the process."""
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class NotReady(Exception):
    """Something that was to happen did not, in its time."""


def supported() -> bool:
    """Whether this system tells what processes use."""
    return (_PROC / "self" / "stat").exists()


def members(session: int) -> list[int]:
    """Ids of the processes of a session that live."""
    return [
        pid
        for entry in _PROC.iterdir()
        if entry.name.isdecimal()
        and (fields := _stat(pid := int(entry.name)))
        and int(fields[_SESSION]) == session
        and fields[0] != "Z"
    ]


def cpu_seconds(session: int) -> float:
    """User and system time of a session's processes, with the children they have waited for."""
    ticks = sum(
        sum(int(field) for field in fields[_TIMES])
        for pid in members(session)
        if (fields := _stat(pid))
    )
    return ticks / _TICKS


def peak_mib(session: int) -> float:
    """Peak resident memory, summed over a session's processes: what they share counts for each."""
    return sum(high_water_kib(pid) for pid in members(session)) / 1024


def kill(session: int) -> None:
    """SIGKILL to everything in a session, until nothing is left."""
    end = time.monotonic() + 10
    while (left := members(session)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def wait_for(
    what: str, ready: Callable[[], object], *, timeout_s: float, of: Running | None = None
) -> None:
    """Raises: NotReady, when `ready()` does not become true, or the process that does it ends."""
    end = time.monotonic() + timeout_s
    look = 0
    while not ready():
        look += 1
        if of is not None and look % _LOOKS == 0 and not members(of.session):
            raise NotReady(f"it ended before {what}: {of.tail()}")
        if time.monotonic() > end:
            raise NotReady(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(_LOOK_S)


class Running(Protocol):
    """Something that runs, by its session."""

    @property
    def session(self) -> int: ...

    def tail(self) -> str:
        """The last line it wrote."""
        ...


class Program:
    """A program of our own choice, in a session of its own. Leaving the block kills all of it."""

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
                env={k: os.environ[k] for k in _KEPT if k in os.environ} | dict(environment),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else errors,
                stderr=errors,
                start_new_session=True,
            )
        self.session = self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self, *, patience_s: float = 5) -> None:
        """SIGTERM, and after a while SIGKILL to all that is left."""
        if self.alive():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all of it at once."""
        kill(self.session)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def ask(self, **wanted: Any) -> dict[str, Any]:
        """Send one line and read the answer. Raises: NotReady, when the program has ended."""
        assert self._process.stdin is not None
        if wanted:
            self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
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
    return lines[-1] if lines else "it wrote nothing"


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name; none when it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def high_water_kib(pid: int) -> int:
    """The peak resident memory of one process; 0 when it has ended."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
