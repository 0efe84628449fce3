"""What the server starts for a worker ends with it, in whatever process group it is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob.local.worker_processes import WorkerProcesses

PATIENCE = 30.0

CHILD = """
import os, signal, sys
fifo = os.open(sys.argv[1], os.O_WRONLY)
os.write(fifo, b"started")
signal.pause()
"""
PARENT = f"""
import os, signal, subprocess, sys
fifo = os.open(sys.argv[1], os.O_WRONLY)
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}, sys.argv[1]], process_group=0)
signal.pause()
"""
#: A server that starts two workers, of which one has ended, and waits.
SERVER = f"""
import os, signal, sys
from pathlib import Path
from remotejob.local.worker_processes import WorkerProcesses
processes = WorkerProcesses()
for command in ([sys.executable, "-c", {PARENT!r}, sys.argv[1]], ["true"]):
    number, _ = processes.start(
        command, environment={{}}, directory="/", log=Path(sys.argv[2])
    )
processes.wait(number, {PATIENCE})
signal.pause()
"""


@pytest.fixture
def processes() -> Iterator[WorkerProcesses]:
    made = WorkerProcesses()
    yield made
    made.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[int]:
    """Open for reading; it ends when no process has it open for writing."""
    os.mkfifo(tmp_path / "fifo")
    opened = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    yield opened
    os.close(opened)


def read(fifo: int) -> bytes:
    assert select.select([fifo], [], [], PATIENCE)[0], "somebody lives on"
    return os.read(fifo, 100)


def start(processes: WorkerProcesses, folder: Path, fifo: int) -> int:
    number, _ = processes.start(
        [sys.executable, "-c", PARENT, str(folder / "fifo")],
        environment={},
        directory=str(folder),
        log=folder / "log",
    )
    # opened before anything was written, so there is no end before
    assert read(fifo) == b"started", (folder / "log").read_text()
    return number


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
def test_children_in_groups_of_their_own_end_with_the_worker(
    processes: WorkerProcesses, tmp_path: Path, fifo: int, which: signal.Signals
) -> None:
    number = start(processes, tmp_path, fifo)

    processes.signal(number, which)

    assert processes.wait(number, PATIENCE) == -which
    assert read(fifo) == b""


def test_children_in_groups_of_their_own_end_with_the_server(
    processes: WorkerProcesses, tmp_path: Path, fifo: int
) -> None:
    start(processes, tmp_path, fifo)

    processes.close()

    assert read(fifo) == b""


def test_workers_end_when_their_server_is_killed(fifo: int, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "fifo"), str(tmp_path / "log")]
    with subprocess.Popen([sys.executable, "-c", SERVER, *arguments]) as server:
        assert read(fifo) == b"started"

        server.kill()

        assert read(fifo) == b""
