"""Health check of the container: exit status 0 while the worker's heart beats."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

STALE_AFTER: Final = 60.0
"""Seconds; the heart beats every one."""


def health_file() -> Path:
    """The file the worker touches; one a container, as there is one worker in it."""
    return Path(tempfile.gettempdir()) / "remotejob-worker.health"


def check(file: Path, *, now: float) -> str | None:
    """What is wrong, or None. `now` is seconds since the epoch."""
    try:
        age = now - file.stat().st_mtime
    except FileNotFoundError:
        return f"{file} is not there: the worker has not begun"
    return f"the worker's heart stopped {age:.0f} s ago" if age > STALE_AFTER else None


if __name__ == "__main__":
    sys.exit(check(health_file(), now=time.time()))
