"""Keep the workers of `remotejob local` up, as ECS keeps up those of a service."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from remotejob.domain.errors import SettingsError
from remotejob.local.errors import LocalError

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_STEADY_S: Final = 60.0
"""A worker that lived so long began well: the next one waits the first wait again."""
_CANNOT_START: Final = 2
"""With what a worker ends that cannot begin: another would end in the same way."""
_TRIES: Final = 3


class Running(Protocol):
    """What there is to know of a worker's process."""

    @property
    def log(self) -> Path: ...

    def poll(self) -> int | None:
        """The exit code; None while it runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A worker that ended, and nobody had told it to."""

    queue: str
    code: int
    log: Path
    in_a_row: int
    """How many of its place have ended so, none of which lived for long."""

    @property
    def cannot_start(self) -> bool:
        """It said that it cannot begin, as with settings it cannot use."""
        return self.code == _CANNOT_START

    @property
    def hopeless(self) -> bool:
        """Another will hardly do better."""
        return self.cannot_start or self.in_a_row >= _TRIES

    def __str__(self) -> str:
        said = _last_words(self.log) or "it said nothing"
        return (
            f"worker for queue {self.queue} ended with {self.code}: {said}; "
            f"see {os.path.relpath(self.log)}"
        )


@dataclass(kw_only=True, slots=True)
class _Place:
    """One worker, through all its processes."""

    queue: str
    start: Callable[[], Running]
    worker: Running | None
    started_at: float
    deaths: int = 0
    start_at: float = 0.0


def give_up_on(ended: Ended) -> None:
    """Where somebody waits for the end of jobs: another worker would end as this one did.

    Raises: SettingsError; LocalError, when it is not settings that it names.
    """
    if ended.cannot_start:
        raise SettingsError(str(ended))
    if ended.hopeless:
        raise LocalError(f"{ended}; that makes {ended.in_a_row} in a row")


class Tended:
    """Workers that are started again when they end, each time after a longer wait."""

    def __init__(
        self, say: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`say` is told, in one line each, what ended and what starts; `clock` is in seconds."""
        self._say = say
        self._clock = clock
        self._places: list[_Place] = []

    def start(self, queue: str, start: Callable[[], Running]) -> None:
        """Start a worker, and keep it up from now on."""
        self._places.append(
            _Place(queue=queue, start=start, worker=start(), started_at=self._clock())
        )

    def look(self, *, on_ended: Callable[[Ended], None] = lambda _: None) -> None:
        """Look at each worker once. `on_ended` may raise, where nobody is to start another."""
        for place in self._places:
            self._look_at(place, on_ended)

    def _look_at(self, place: _Place, on_ended: Callable[[Ended], None]) -> None:
        now = self._clock()
        if place.worker is None:
            if now >= place.start_at:
                self._say(f"starting another worker for queue {place.queue}")
                place.worker, place.started_at = place.start(), now
            return
        code = place.worker.poll()
        if code is None:
            return
        steady = now - place.started_at >= _STEADY_S
        place.deaths = 1 if steady else place.deaths + 1
        # no power of a count that may be large
        wait = min(_FIRST_WAIT_S * 2 ** min(place.deaths - 1, 10), _LONGEST_WAIT_S)
        ended = Ended(queue=place.queue, code=code, log=place.worker.log, in_a_row=place.deaths)
        place.worker, place.start_at = None, now + wait
        on_ended(ended)
        self._say(str(ended))
        self._say(f"another worker for queue {place.queue} starts in {wait:g} s")


def _last_words(log: Path) -> str:
    """The last critical line of a worker's log; failing that, its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        if (message := _critical(line)) is not None:
            return " ".join(message.split())
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _critical(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None  # not the worker's own: a traceback, or what a task printed
    if not isinstance(entry, dict) or entry.get("level") != "CRITICAL":
        return None
    return str(entry.get("message"))
