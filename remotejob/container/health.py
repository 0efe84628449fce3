"""The container's health check: exits with status 0 while all its workers live and none is stuck.

Each worker writes its health to a file once a second: see `remotejob.worker.lifecycle.health`.
Otherwise this prints the problem, and exits with status 1.
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
"""Seconds; a worker writes its health once a second."""


def processes(environment: Mapping[str, str]) -> int:
    """How many child processes the container has; 0 if it works in its first process.

    Raises: SettingsError.
    """
    value = environment.get(Env.PROCESSES, "0")
    if not (value.isascii() and value.isdecimal()):
        raise SettingsError(f"{Env.PROCESSES}={value!r}: use a whole number, 0 or more")
    return int(value)


def health_file(child: int | None = None) -> Path:
    """The health file of the container's worker, or of one of its children, from 1."""
    name = "remotejob-worker" if child is None else f"remotejob-worker-{child}"
    return Path(tempfile.gettempdir()) / f"{name}.health"


def health_files(environment: Mapping[str, str]) -> list[Path]:
    """The health files of all workers in the container. Raises: SettingsError."""
    return [health_file(n + 1) for n in range(processes(environment))] or [health_file()]


def problem_of(files: Iterable[Path], *, now: float) -> str | None:
    """The first problem that a file reports, or None. `now` is seconds since the epoch."""
    return next((problem for file in files if (problem := check(file, now=now))), None)


def check(file: Path, *, now: float) -> str | None:
    """The worker's problem, or None. `now` is seconds since the epoch."""
    try:
        health = Health.read(file)
    except FileNotFoundError:
        return f"{file} does not exist: the worker has not started"
    except ValueError as problem:
        return f"{file} is not the health of a worker: {problem}"
    if health.stopped:
        # its supervisor is waiting for the jobs of the other workers
        return None
    age = now - health.at_ms / 1000
    if age > STALE_AFTER:
        return f"the worker has been silent for {age:.0f} s"
    return f"the worker is stuck: {health.problem}" if health.problem is not None else None


if __name__ == "__main__":
    sys.exit(problem_of(health_files(os.environ), now=time.time()))
