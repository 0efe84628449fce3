"""`remotejob local` and `make run`: up with workers until Ctrl-C or the end, and nothing left.

All that runs in the project's own folder, where only one may at a time, is tested in this file.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.commands import COMMAND, bare_environment
from tests.end_to_end.waiting import until

LOGS = Path("build/local/logs")
SETTINGS = """
[system]
name = "other"
[queues.default]
tasks = ["thumbnail"]
tasks_module = "{module}"
[[routes]]
prefix = "photos/"
suffixes = [".jpg", ".png"]
task = "thumbnail"
"""
Local = subprocess.Popen[str]


def settings(folder: Path, *, module: str) -> Path:
    path = folder / "remotejob.toml"
    path.write_text(SETTINGS.format(module=module))
    return path


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "of-the-run-before.log").touch()
    path = settings(tmp_path, module="worker_container.tasks")
    with subprocess.Popen(
        # as a shell starts what runs in the background: with Ctrl-C ignored
        [
            "sh",
            "-c",
            'trap "" INT; exec "$0" local --workers 1 --settings "$1"',
            str(COMMAND),
            str(path),
        ],
        env={**bare_environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


@pytest.mark.exhaustive
def test_local_prints_how_to_reach_it_and_ctrl_c_takes_everything_down(local: Local) -> None:
    told: list[str] = []
    assert local.stdout is not None
    for line in local.stdout:
        told.append(line)
        if "Ctrl-C takes everything down" in line:
            break
    listed = remotejob("ls")
    second = remotejob("local")
    logs = {path.name for path in LOGS.iterdir()}
    started = _descendants(local.pid)
    (worker,) = (pid for pid in started if "remotejob.container" in _command(pid))
    os.kill(worker, signal.SIGKILL)
    first, ended, again = (local.stdout.readline() for _ in range(3))

    local.send_signal(signal.SIGINT)
    code = local.wait()

    assert listed.returncode == 0
    assert listed.stderr == "no jobs\n"
    assert second.returncode == 6
    (refusal,) = second.stderr.splitlines()
    assert f"as process {local.pid};" in refusal
    assert {"server.log", "of-the-run-before.log"} <= logs
    assert str(LOGS) in told[-2]
    assert any('eval "$(' in line and ' env)"' in line for line in told)
    assert "a worker for queue default has started" in first
    assert "worker for queue default ended with 137: " in ended
    assert re.search(rf"see {LOGS}/worker-\d+\.log", ended)
    assert "a worker for queue default has started" in again
    assert len(started) >= 2, "the server and a worker"
    assert code == 130
    until(lambda: not started & set(_parents()), what="the end of every process it started")


def test_make_run_makes_thumbnails_and_shows_the_file_that_is_none() -> None:
    assert "\nmake run" in Path("README.md").read_text()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))
    }

    done = subprocess.run(
        ["make", "run"], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "4 of 5 jobs completed" in done.stdout
    assert "not-a-photo.jpg is not an image" in " ".join(done.stdout.split())
    results = sorted(Path("build/results").glob("*.png"))
    assert len(results) == 4
    for path in results:
        with Image.open(path) as thumbnail:
            assert max(thumbnail.size) == 400


@pytest.mark.exhaustive
def test_files_to_process_are_given_up_when_the_worker_cannot_start(tmp_path: Path) -> None:
    path = settings(tmp_path, module="no_such_tasks")

    done = remotejob(
        "local",
        *("--process", "examples/photos", "--settings", str(path)),
        *("--results", str(tmp_path / "results")),
    )

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("remotejob: worker for queue default ended with 2: the worker cannot")
    assert "'no_such_tasks' cannot be imported" in line
    assert line.endswith(f"see {LOGS}/worker-1.log")


def remotejob(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env={**bare_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def _command(pid: int) -> str:
    listed = subprocess.run(
        ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout


def _parents() -> dict[int, int]:
    """The parent of each process on this machine."""
    listed = subprocess.run(
        ["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent in rows}


def _descendants(root: int) -> set[int]:
    parents = _parents()
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}
