"""The container's health check."""

from __future__ import annotations

import os
from pathlib import Path

from worker_container.health import STALE_AFTER, check, health_file


def _touched(file: Path, *, at: float) -> Path:
    file.touch()
    os.utime(file, (at, at))
    return file


def test_a_heart_that_beats_is_healthy(tmp_path: Path) -> None:
    file = _touched(tmp_path / "health", at=1000)
    assert check(file, now=1000) is None
    assert check(file, now=1000 + STALE_AFTER) is None


def test_a_heart_that_stopped_is_not(tmp_path: Path) -> None:
    file = _touched(tmp_path / "health", at=1000)
    problem = check(file, now=1000 + STALE_AFTER + 30)
    assert problem == "the worker's heart stopped 90 s ago"


def test_a_worker_that_has_not_begun_is_not(tmp_path: Path) -> None:
    problem = check(tmp_path / "nothing", now=1000)
    assert problem is not None
    assert "has not begun" in problem


def test_worker_and_check_agree_on_the_file() -> None:
    assert health_file() == health_file()
    assert health_file().is_absolute()
