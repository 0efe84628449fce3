"""A supervisor and children that do as a plan says, for tests of the supervisor.

    python -m tests.worker.family supervisor FOLDER   until SIGTERM or SIGINT, then its exit status
    python -m tests.worker.family child FOLDER        what a supervisor starts

Everybody writes what happens to the fifo in FOLDER, and keeps it open: its end is theirs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from remotejob.worker.lifecycle.shutdown import SIGNALS
from remotejob.worker.lifecycle.supervised import Supervised
from remotejob.worker.lifecycle.supervisor import Supervisor, SupervisorOptions

PATIENCE = 30.0
"""Seconds after which something is broken, on the slowest machine."""


class Family:
    """What the children of one folder have to say."""

    def __init__(self, folder: Path, plan: dict[int, Sequence[str]]) -> None:
        """`plan` says what each process of a child does, the last of it again and again."""
        self.folder = folder
        (folder / "plan").write_text(json.dumps(plan))
        os.mkfifo(folder / "fifo")
        self._fifo = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        # while nobody else has it open, before the first child and between two, it has no end
        self._open: int | None = os.open(folder / "fifo", os.O_WRONLY)
        self._read = b""
        self.told: list[str] = []
        """Lines so far, such as `begun 1`."""

    def close(self) -> None:
        self._close_own()
        os.close(self._fifo)

    def await_line(self, line: str, *, times: int = 1) -> None:
        """Raises: AssertionError, when it is not said so often in time."""
        end = time.monotonic() + PATIENCE
        while self.told.count(line) < times:
            assert self._more(end - time.monotonic()) is not None, f"{line!r} not in {self.told}"

    def await_end(self) -> None:
        """Until no process has the fifo open. Raises: AssertionError, when one lives on."""
        self._close_own()
        end = time.monotonic() + PATIENCE
        while (more := self._more(end - time.monotonic())) != b"":
            assert more is not None, f"somebody lives on, after {self.told}"

    def _close_own(self) -> None:
        if self._open is not None:
            os.close(self._open)
            self._open = None

    def _more(self, seconds: float) -> bytes | None:
        """What was written; empty when nobody can write any more, None when time is up."""
        if not select.select([self._fifo], [], [], max(0.0, seconds))[0]:
            return None
        more = os.read(self._fifo, 65536)
        *lines, self._read = (self._read + more).split(b"\n")
        self.told += [line.decode() for line in lines]
        return more


@contextmanager
def family(folder: Path, plan: dict[int, Sequence[str]]) -> Iterator[Family]:
    made = Family(folder, plan)
    try:
        yield made
    finally:
        made.close()


def options(folder: Path, *, grace: float = PATIENCE, failed_starts: int = 3) -> SupervisorOptions:
    """Of a supervisor in a hurry; its children are as many as the plan knows."""
    return SupervisorOptions(
        command=(sys.executable, "-m", "tests.worker.family", "child", str(folder)),
        processes=len(json.loads((folder / "plan").read_text())),
        grace=timedelta(seconds=grace),
        first_wait=timedelta(milliseconds=1),
        longest_wait=timedelta(milliseconds=4),
        failed_starts=failed_starts,
    )


def _supervise(folder: Path) -> int:
    supervisor = Supervisor(options(folder))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    return supervisor.run()


def _child(folder: Path) -> int:
    supervised = Supervised.from_environment(os.environ)
    assert supervised is not None
    fifo = os.open(folder / "fifo", os.O_WRONLY)

    def say(what: str) -> None:
        os.write(fifo, f"{what} {supervised.number}\n".encode())

    supervised.stop_with_parent()
    step = _next_step(folder, supervised.number)
    if step.startswith("fail"):
        say("failed")
        return int(step.split()[1])
    interrupted, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    supervised.begun()
    say("begun")
    return _do(step.split(), say, supervised, fifo, interrupted)


def _do(
    step: list[str], say: Callable[[str], None], supervised: Supervised, fifo: int, interrupted: int
) -> int:
    match step:
        case ["crash", code]:
            os._exit(int(code))
        case ["kill", which]:
            os.kill(os.getpid(), int(which))
        case ["leave"]:
            # one that works on, and that the end of its parent does not concern
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"import signal; signal.alarm({4 * PATIENCE:.0f}); signal.pause()",
                ],
                pass_fds=(fifo,),
            )
            os._exit(1)
        case ["serve", times, code]:
            for _ in range(int(times)):
                say(signal.Signals(_soon(interrupted)).name)
            return int(code)
        case ["work"]:
            supervised.protect()
            say(signal.Signals(_soon(interrupted)).name)
            supervised.unprotect()
            say(signal.Signals(_soon(interrupted)).name)
            return 0
        case ["die-working"]:
            supervised.protect()
            say(signal.Signals(_soon(interrupted)).name)
            os._exit(1)
    raise AssertionError(f"what is {step!r}?")


def _soon(pipe: int) -> int:
    assert select.select([pipe], [], [], 4 * PATIENCE)[0], "forgotten by its test"
    return os.read(pipe, 1)[0]


def _next_step(folder: Path, number: int) -> str:
    steps: list[str] = json.loads((folder / "plan").read_text())[str(number)]
    turn = len([*folder.glob(f"turn-{number}-*")])
    (folder / f"turn-{number}-{turn}").touch()
    return steps[min(turn, len(steps) - 1)]


if __name__ == "__main__":
    role, place = sys.argv[1:]
    sys.exit({"supervisor": _supervise, "child": _child}[role](Path(place)))
