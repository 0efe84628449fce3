"""The temporary folders of processes that died, and of those that live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remotejob.worker.runs import process_folder

PROGRAM = """
import signal
from remotejob.worker.runs.process_folder import process_folder
from remotejob.worker.runs.workspace import Workspace
(Workspace("job").folder() / "large").write_bytes(b"x" * 1000)
print(process_folder(), flush=True)
signal.pause()
"""


@contextmanager
def other(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another worker of this machine, in the midst of a run."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    try:
        assert process.stdout is not None
        with process.stdout:
            yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()


def test_folders_of_killed_processes_are_removed_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stranger = tmp_path / "remotejob-process-link"
    kept = tmp_path / "kept"
    kept.mkdir()
    stranger.symlink_to(kept)
    with other(tmp_path) as (dead, left), other(tmp_path) as (_, living):
        process_folder.remove_of_dead()
        assert [*left.glob("*/large")]
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        process_folder.remove_of_dead()
        assert not left.exists()
        assert [*living.glob("*/large")]
        assert kept.is_dir()
