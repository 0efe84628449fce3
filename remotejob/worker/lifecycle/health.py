"""The health file: whether a worker lives and is not stuck.

A worker is stuck if only a new process helps: if a thread has ended, or takes far longer for one
operation than it ever should. An outage of AWS is neither: requests fail and are retried, and a new
process would do no better.
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
    """The health that one worker writes once a second."""

    at_ms: int
    running: int
    """Jobs."""
    waiting: int
    """Messages received and not begun."""
    problem: str | None
    """Why the worker should be replaced, if it should."""
    stopped: bool = False
    """Whether it has stopped on request: it writes no more, while others may go on."""

    def write(self, file: Path) -> None:
        """Write one line of JSON, atomically."""
        part = file.with_name(f"{file.name}.{os.getpid()}")
        # other users can plant links in a shared folder for temporary files
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(part, flags, 0o600), "w", encoding="utf-8") as written:
            written.write(f"{json.dumps(asdict(self))}\n")
        part.replace(file)

    @classmethod
    def read(cls, file: Path) -> Health:
        """Raises: FileNotFoundError; ValueError, when no worker wrote it."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except TypeError as problem:
            raise ValueError(f"{file}: {problem}") from None


class Watch:
    """Measures how long operations have been running. Safe across threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, tuple[float, float]] = {}

    @contextmanager
    def during(self, what: str, *, longest: float) -> Iterator[None]:
        """An operation, of which one runs at a time, and which takes at most so many seconds."""
        self._since[what] = self._clock.monotonic(), longest
        try:
            yield
        finally:
            del self._since[what]

    def overdue(self) -> str | None:
        """An operation that takes too long, if one does."""
        now = self._clock.monotonic()
        for what, (since, longest) in self._since.copy().items():
            if now - since > longest:
                return f"{what} has taken {now - since:.0f} s"
        return None


def lost(threads: Iterable[threading.Thread]) -> str | None:
    """The first of the threads that has ended."""
    for thread in threads:
        if not thread.is_alive():
            return f"thread {thread.name} has ended"
    return None
