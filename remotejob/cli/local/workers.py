"""The workers of `remotejob local`, which the services of the embedded AWS start and stop."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remotejob.domain.errors import SettingsError
from remotejob.local.ecs.service import StopCode
from remotejob.local.errors import LocalError

if TYPE_CHECKING:
    from remotejob.local.ecs.history import Change
    from remotejob.local.services import Services

_CANNOT_START: Final = 2
"""Exit status of a worker that cannot start; another one would not start either."""
_TRIES: Final = 3
_GRACE: Final = timedelta(seconds=5)
"""How long the jobs of a replaced worker may go on; then they are given back. A deployment gives
them longer, but here somebody waits to see new code."""
_GIVING_BACK: Final = timedelta(seconds=15)
"""How long it may take to give them back; then it is killed."""


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


def raise_if_hopeless(ended: Ended) -> None:
    """Fail a command that waits for jobs when no worker will ever run them.

    Raises: SettingsError, when the worker cannot start; LocalError, when it keeps ending.
    """
    if ended.cannot_start:
        raise SettingsError(str(ended))
    if ended.hopeless:
        raise LocalError(f"{ended}; that makes {ended.in_a_row} in a row")


class LocalWorkers:
    """Shows what the services of the embedded AWS do, and replaces their workers at a reload."""

    def __init__(
        self,
        services: Services,
        queues: Mapping[str, str],
        *,
        say: Callable[[str], None],
        started: Callable[[str, Path], None] = lambda _, __: None,
    ) -> None:
        """`queues` has the queue of each service by its name.

        `say` gets one line for each worker that starts or ends; `started`, a queue and the log of
        its new worker.
        """
        self._services = services
        self._queues = queues
        self._say = say
        self._started = started
        self._shown = 0
        self._running: Counter[str] = Counter()

    @property
    def working(self) -> frozenset[str]:
        """The queues that have workers, as far as `check` has seen."""
        return frozenset(queue for queue, number in self._running.items() if number > 0)

    def check(self, *, on_ended: Callable[[Ended], None] = lambda _: None) -> None:
        """Show what has happened since the last check; `on_ended` may raise."""
        for change in self._services.changes(self._shown):
            self._shown = change.number
            queue = self._queues.get(change.service)
            if queue is not None:
                # one that could not be launched had not started
                if change.has_started or change.exit_code is not None:
                    self._running[queue] += 1 if change.has_started else -1
                self._show(queue, change, on_ended)

    def reload(self, between: Callable[[], None] = lambda: None) -> int:
        """Replace all workers at once; return how many.

        Those that run take no more jobs. They finish what they have within seconds, and give back
        the rest, which counts neither as a failure nor as a crash. `between` is called when they
        were told, and before the new ones start.
        """
        stopped = self._services.hold(hurry=_GRACE, kill=_GRACE + _GIVING_BACK)
        between()
        self._services.go()
        return stopped

    def _show(self, queue: str, change: Change, on_ended: Callable[[Ended], None]) -> None:
        if change.has_started:
            self._started(queue, Path(change.log))
            self._say(f"a worker for queue {queue} has started")
        elif not change.by_itself:
            # not of one that a reload has replaced
            if change.stop_code is StopCode.SCHEDULER:
                self._say(f"a worker for queue {queue} has stopped")
        elif change.exit_code is None:
            self._say(f"no worker for queue {queue} starts: {change.reason}")
        else:
            ended = Ended(
                queue=queue,
                code=change.exit_code,
                log=Path(change.log),
                in_a_row=change.failed_in_a_row,
            )
            on_ended(ended)
            self._say_ended(ended)

    def _say_ended(self, ended: Ended) -> None:
        # ECS tries again, ever more rarely; the same line each time would hide the others
        last_said = 1 if ended.cannot_start else _TRIES
        if ended.in_a_row <= last_said:
            self._say(str(ended))
        if ended.in_a_row == last_said:
            self._say(f"the jobs of queue {ended.queue} wait until a change mends that")


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
