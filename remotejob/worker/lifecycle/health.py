"""Whether a worker lives and is not stuck, as its health file says.

Stuck is what only a new process mends: a thread that has ended, or that has not come back from one
thing far beyond the longest time it may take. An outage of AWS is neither: requests fail and are
tried again, and a new process would fare no better.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from remotejob.ports import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What one worker says of itself, once a second."""

    at_ms: int
    running: int
    """Jobs."""
    waiting: int
    """Messages received and not begun."""
    problem: str | None
    """Why it should be replaced, if it should."""
    stopped: bool = False
    """Whether it has ended, as it was told: it says nothing more, and others may go on."""

    def write(self, file: Path) -> None:
        """As one line of JSON, there whole or not at all."""
        background = file.with_name(f"{file.name}.{os.getpid()}")
        background.write_text(f"{json.dumps(asdict(self))}\n", encoding="utf-8")
        background.replace(file)

    @classmethod
    def read(cls, file: Path) -> Health:
        """Raises: FileNotFoundError; ValueError, when no worker wrote it."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except TypeError as problem:
            raise ValueError(f"{file}: {problem}") from None


class Watch:
    """Knows what is under way for how long. Safe across threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, tuple[float, float]] = {}

    @contextmanager
    def during(self, what: str, *, longest: float) -> Iterator[None]:
        """Something that takes at most so many seconds, where one at a time is under way."""
        self._since[what] = self._clock.monotonic(), longest
        try:
            yield
        finally:
            del self._since[what]

    def overdue(self) -> str | None:
        """What takes too long, if anything does."""
        now = self._clock.monotonic()
        for what, (since, longest) in self._since.copy().items():
            if now - since > longest:
                return f"{what} has taken {now - since:.0f} s"
        return None


def lost(threads: Iterable[threading.Thread]) -> str | None:
    """The first of the threads that has ended, and should not have."""
    for thread in threads:
        if not thread.is_alive():
            return f"thread {thread.name} has ended"
    return None
