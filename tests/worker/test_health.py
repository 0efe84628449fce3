"""The container's health check."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob.container.health import STALE_AFTER, check, health_file, health_files, problem_of
from remotejob.domain.errors import SettingsError
from remotejob.testing import FakeClock
from remotejob.worker.lifecycle.health import Health, Watch, lost


def _said(file: Path, *, at: float, problem: str | None = None) -> Path:
    Health(at_ms=int(at * 1000), running=1, waiting=2, problem=problem).write(file)
    return file


def test_a_worker_that_says_it_lives_is_healthy(tmp_path: Path) -> None:
    file = _said(tmp_path / "health", at=1000)
    assert check(file, now=1000) is None
    assert check(file, now=1000 + STALE_AFTER) is None


def test_a_worker_that_fell_silent_is_not(tmp_path: Path) -> None:
    file = _said(tmp_path / "health", at=1000)
    problem = check(file, now=1000 + STALE_AFTER + 30)
    assert problem == "the worker has been silent for 90 s"


def test_a_worker_that_says_it_is_stuck_is_not(tmp_path: Path) -> None:
    file = _said(tmp_path / "health", at=1000, problem="thread lane-high has ended")
    assert check(file, now=1001) == "the worker is stuck: thread lane-high has ended"


def test_a_worker_that_has_not_begun_is_not(tmp_path: Path) -> None:
    problem = check(tmp_path / "nothing", now=1000)
    assert problem is not None
    assert "has not started" in problem


@pytest.mark.parametrize("text", ["", "{}", '{"at": 1}', "[1]"])
def test_a_file_that_no_worker_wrote_is_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "health").write_text(text)
    assert "is not the health of a worker" in (check(tmp_path / "health", now=1000) or "")


def test_a_health_report_replaces_the_last_and_leaves_no_other_file(tmp_path: Path) -> None:
    file = _said(tmp_path / "health", at=1000, problem="one that is long, and goes away again")
    _said(file, at=1001)
    assert [*tmp_path.iterdir()] == [file]
    assert Health.read(file) == Health(at_ms=1_001_000, running=1, waiting=2, problem=None)


def test_check_prints_the_reason_and_exits_with_1(tmp_path: Path) -> None:
    def checked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "remotejob.container.health"],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    file = tmp_path / health_file().name
    _said(file, at=time.time())
    well = checked()
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    _said(file, at=time.time(), problem="thread settler has ended")
    ill = checked()
    assert ill.returncode == 1
    assert ill.stderr == "the worker is stuck: thread settler has ended\n"


def test_one_child_that_is_stuck_is_enough(tmp_path: Path) -> None:
    first = _said(tmp_path / "1", at=1000)
    second = _said(tmp_path / "2", at=1000)
    assert problem_of([first, second], now=1010) is None
    _said(first, at=1100)
    problem = problem_of([first, second], now=1100)
    assert problem == "the worker has been silent for 100 s"
    second.unlink()
    assert "has not started" in (problem_of([first, second], now=1100) or "")


def test_what_takes_far_too_long_is_a_problem_until_it_is_over() -> None:
    clock = FakeClock()
    watch = Watch(clock)
    assert watch.overdue() is None
    with watch.during("receive from lane high", longest=600):
        clock.advance(timedelta(seconds=600))
        assert watch.overdue() is None
        clock.advance(timedelta(seconds=1))
        assert watch.overdue() == "receive from lane high has taken 601 s"
    assert watch.overdue() is None


def test_thread_that_ended_is_lost() -> None:
    over = threading.Event()
    lives, ended = (threading.Thread(target=over.wait, name=name) for name in ("lives", "ended"))
    lives.start()
    try:
        assert lost([lives]) is None
        assert lost([lives, ended]) == "thread ended has ended"
    finally:
        over.set()
        lives.join()


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
