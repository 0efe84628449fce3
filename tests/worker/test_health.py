"""The container's health check."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remotejob.domain.errors import SettingsError
from worker_container.health import STALE_AFTER, check, health_file, health_files, problem_of


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


def test_one_child_without_a_heart_is_enough(tmp_path: Path) -> None:
    first = _touched(tmp_path / "1", at=1000)
    second = _touched(tmp_path / "2", at=1000)
    assert problem_of([first, second], now=1010) is None
    _touched(first, at=1100)
    problem = problem_of([first, second], now=1100)
    assert problem == "the worker's heart stopped 100 s ago"
    second.unlink()
    assert "has not begun" in (problem_of([first, second], now=1100) or "")


def test_every_child_has_a_file_and_the_supervisor_none() -> None:
    assert health_files({}) == health_files({"REMOTEJOB_PROCESSES": "0"}) == [health_file()]
    files = health_files({"REMOTEJOB_PROCESSES": "3"})
    assert files == [health_file(1), health_file(2), health_file(3)]
    assert len({health_file(), *files}) == 4


@pytest.mark.parametrize("said", ["", "-1", "two", "1.5", "²"])
def test_number_of_processes_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="REMOTEJOB_PROCESSES"):
        health_files({"REMOTEJOB_PROCESSES": said})


def test_worker_and_check_agree_on_the_file() -> None:
    assert health_file() == health_file()
    assert health_file().is_absolute()
