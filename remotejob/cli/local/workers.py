"""Restart the workers of `remotejob local` when they end, as ECS does for a service."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from remotejob.domain.errors import SettingsError
from remotejob.local.errors import LocalError

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_STEADY_S: Final = 60.0
"""After a worker lived this long, the wait before the next start is the shortest again."""
_CANNOT_START: Final = 2
"""Exit status of a worker that cannot start; another one would not start either."""
_TRIES: Final = 3
_GRACE_S: Final = 5.0
"""How long the jobs of a replaced worker may go on; then they are given back. A deployment gives
them longer, but here somebody waits to see new code."""
_GIVING_BACK_S: Final = 15.0
"""How long it may take to give them back; then it is killed."""


class Running(Protocol):
    """A worker's process."""

    @property
    def log(self) -> Path: ...

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def send(self, which: signal.Signals) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it and all its processes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A worker that ended although nobody stopped it."""

    queue: str
    code: int
    log: Path
    in_a_row: int
    """How many processes of this worker ended one after another, each after a short life."""

    @property
    def cannot_start(self) -> bool:
        """Whether it reported that it cannot start, for example because of unusable settings."""
        return self.code == _CANNOT_START

    @property
    def hopeless(self) -> bool:
        """Whether another process would most likely end the same way."""
        return self.cannot_start or self.in_a_row >= _TRIES

    def __str__(self) -> str:
        message = _last_message(self.log) or "its log is empty"
        return (
            f"worker for queue {self.queue} ended with {self.code}: {message}; "
            f"see {os.path.relpath(self.log)}"
        )


@dataclass(kw_only=True, slots=True)
class _Slot:
    """One worker, whose process is replaced each time it ends."""

    queue: str
    start: Callable[[], Running]
    worker: Running | None
    started_at: float
    deaths: int = 0
    start_at: float = 0.0
    """When to start another one, while there is no worker."""


@dataclass(kw_only=True, slots=True)
class _Replaced:
    """A worker that finishes its jobs while another one has taken its place."""

    worker: Running
    hurry_at: float
    kill_at: float
    hurried: bool = False


def raise_if_hopeless(ended: Ended) -> None:
    """Fail a command that waits for jobs when no worker will ever run them.

    Raises: SettingsError, when the worker cannot start; LocalError, when it keeps ending.
    """
    if ended.cannot_start:
        raise SettingsError(str(ended))
    if ended.hopeless:
        raise LocalError(f"{ended}; that makes {ended.in_a_row} in a row")


class LocalWorkers:
    """Workers that are restarted when they end, each time after a longer wait, or at a reload."""

    def __init__(
        self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`say` gets one line for each worker that ends or starts; `clock` counts in seconds."""
        self._say = say
        self._clock = clock
        self._slots: list[_Slot] = []
        self._replaced: list[_Replaced] = []

    def start(self, queue: str, start: Callable[[], Running]) -> None:
        """Start a worker, and restart it from now on whenever it ends."""
        self._slots.append(
            _Slot(queue=queue, start=start, worker=start(), started_at=self._clock())
        )

    def reload(self, between: Callable[[], None] = lambda: None) -> int:
        """Replace all workers at once; return how many.

        Those that run take no more jobs. They finish what they have within seconds, and give back
        the rest, which counts neither as a failure nor as a crash. `between` is called when they
        were told, and before the new ones start.
        """
        now = self._clock()
        # all of them first: no job begins with the old code any more
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.send(signal.SIGTERM)
                self._replaced.append(
                    _Replaced(
                        worker=slot.worker,
                        hurry_at=now + _GRACE_S,
                        kill_at=now + _GRACE_S + _GIVING_BACK_S,
                    )
                )
        between()
        for slot in self._slots:
            slot.worker, slot.started_at, slot.deaths = slot.start(), now, 0
        return len(self._slots)

    def forget(self) -> None:
        """Have no workers any more: what they belonged to has ended, and they with it."""
        self._slots.clear()
        self._replaced.clear()

    def __str__(self) -> str:
        queues = Counter(slot.queue for slot in self._slots)
        return ", ".join(
            f"{number} worker{'s' if number > 1 else ''} for queue {queue}"
            for queue, number in queues.items()
        )

    def check(self, *, on_ended: Callable[[Ended], None] = lambda _: None) -> None:
        """Check each worker once. If `on_ended` raises, no other worker is started."""
        self._replaced = [replaced for replaced in self._replaced if self._still_runs(replaced)]
        for slot in self._slots:
            self._check_slot(slot, on_ended)

    def _still_runs(self, replaced: _Replaced) -> bool:
        if replaced.worker.poll() is not None:
            return False
        now = self._clock()
        if now >= replaced.kill_at:
            replaced.worker.kill()
        elif now >= replaced.hurry_at and not replaced.hurried:
            replaced.hurried = True
            # not a second SIGTERM: see `shutdown.SIGNAL_OF`
            replaced.worker.send(signal.SIGQUIT)
        return True

    def _check_slot(self, slot: _Slot, on_ended: Callable[[Ended], None]) -> None:
        now = self._clock()
        if slot.worker is None:
            if now >= slot.start_at:
                self._say(f"starting another worker for queue {slot.queue}")
                slot.worker, slot.started_at = slot.start(), now
            return
        code = slot.worker.poll()
        if code is None:
            return
        steady = now - slot.started_at >= _STEADY_S
        slot.deaths = 1 if steady else slot.deaths + 1
        ended = Ended(queue=slot.queue, code=code, log=slot.worker.log, in_a_row=slot.deaths)
        slot.worker = None
        on_ended(ended)
        self._say(str(ended))
        if ended.cannot_start:
            # another one could not start either
            slot.start_at = math.inf
            self._say(f"the jobs of queue {slot.queue} wait until a change mends that")
            return
        # cap the exponent: the count may grow large
        wait = min(_FIRST_WAIT_S * 2 ** min(slot.deaths - 1, 10), _LONGEST_WAIT_S)
        slot.start_at = now + wait
        self._say(f"another worker for queue {slot.queue} starts in {wait:g} s")


def _last_message(log: Path) -> str:
    """The last critical message in a worker's log, or else what its last line says."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        if (message := _critical_message(line)) is not None:
            return " ".join(message.split())
    return next((_told(line) for line in reversed(lines) if line.strip()), "")


def _told(line: str) -> str:
    """A line for people: of an entry of the log, its message and job."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict) or "message" not in entry:
        return line.strip()
    of_job = f" (job {entry['job']})" if "job" in entry else ""
    return f"{' '.join(str(entry['message']).split())}{of_job}"


def _critical_message(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None  # not a log entry: a traceback, or output of a task
    if not isinstance(entry, dict) or entry.get("level") != "CRITICAL":
        return None
    return str(entry.get("message"))
