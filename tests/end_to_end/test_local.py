"""`remotejob local` stays up until Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.waiting import until

COMMAND = Path(sys.executable).parent / "remotejob"
Local = subprocess.Popen[str]


@pytest.fixture
def local() -> Iterator[Local]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        # as a shell starts what runs in the background: with Ctrl-C ignored
        ["sh", "-c", 'trap "" INT; exec "$0" local', str(COMMAND)],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_local_prints_how_to_reach_it_and_ctrl_c_takes_everything_down(local: Local) -> None:
    exported: dict[str, str] = {}
    told: list[str] = []
    assert local.stdout is not None
    for line in local.stdout:
        told.append(line)
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            exported[name] = value
        if "Ctrl-C takes everything down" in line:
            break
    assert exported, "".join(told)
    listed = subprocess.run(
        [COMMAND, "ls"], env={**os.environ, **exported}, capture_output=True, text=True, check=False
    )
    started = _descendants(local.pid)

    local.send_signal(signal.SIGINT)
    code = local.wait()

    assert listed.returncode == 0
    assert listed.stderr == "no jobs\n"
    assert len(started) >= 2, "the server and a worker"
    assert code == 130
    until(lambda: not started & set(_parents()), what="the end of every process it started")


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
