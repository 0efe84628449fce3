"""Health check of the container: exit status 0 while every worker in it lives and is not stuck.

Each says so itself once a second, in a file: see `remotejob.worker.lifecycle.health`.
Anything else is printed, and the exit status is 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from remotejob.domain.errors import SettingsError
from remotejob.names import Env
from remotejob.worker.lifecycle.health import Health

STALE_AFTER: Final = 60.0
"""Seconds; a worker says every one how it is."""


def processes(environment: Mapping[str, str]) -> int:
    """How many child processes the container has; 0 if it works in its first process.

    Raises: SettingsError.
    """
    said = environment.get(Env.PROCESSES, "0")
    if not (said.isascii() and said.isdecimal()):
        raise SettingsError(f"{Env.PROCESSES}={said!r}: use a whole number from 0")
    return int(said)


def health_file(child: int | None = None) -> Path:
    """The file the container's worker writes, or that of one of its children, from 1."""
    name = "remotejob-worker" if child is None else f"remotejob-worker-{child}"
    return Path(tempfile.gettempdir()) / f"{name}.health"


def health_files(environment: Mapping[str, str]) -> list[Path]:
    """The files of all that work in the container. Raises: SettingsError."""
    return [health_file(n + 1) for n in range(processes(environment))] or [health_file()]


def problem_of(files: Iterable[Path], *, now: float) -> str | None:
    """The first thing wrong with any of them, or None. `now` is seconds since the epoch."""
    return next((problem for file in files if (problem := check(file, now=now))), None)


def check(file: Path, *, now: float) -> str | None:
    """What is wrong, or None. `now` is seconds since the epoch."""
    try:
        said = Health.read(file)
    except FileNotFoundError:
        return f"{file} is not there: the worker has not begun"
    except ValueError as problem:
        return f"{file} is not what a worker writes: {problem}"
    if said.stopped:
        # a supervisor starts another in its place, or waits for the jobs of the rest
        return None
    age = now - said.at_ms / 1000
    if age > STALE_AFTER:
        return f"the worker has said nothing for {age:.0f} s"
    return f"the worker is stuck: {said.problem}" if said.problem is not None else None


if __name__ == "__main__":
    sys.exit(problem_of(health_files(os.environ), now=time.time()))
