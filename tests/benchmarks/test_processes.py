"""What is started is measured with all it starts, and is gone in the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.guardian import Guardian
from benchmarks.marks import VARIABLE, Kind, Marker, Marks
from benchmarks.processes import NotReady, Program, cpu_seconds, members, peak_mib, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

CHILD = "import sys; [0 for _ in range(3_000_000)]; print('{}', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def start(code: str, log: Path) -> Program:
    return Program([sys.executable, "-c", code], environment={}, log=log, piped=True)


def test_tree_is_measured_and_killed_as_a_whole(tmp_path: Path) -> None:
    program = start(PARENT, tmp_path / "log")
    try:
        assert program.ask() == {}
        assert len(members(program.session)) == 2
        assert cpu_seconds(program.session) > 0.02
        assert peak_mib(program.session) > 5
    finally:
        program.kill()

    assert members(program.session) == []


def test_program_that_ended_says_its_last_line(tmp_path: Path) -> None:
    program = start("import sys; sys.exit('no such queue')", tmp_path / "log")
    try:
        with pytest.raises(NotReady, match="no such queue"):
            wait_for("a job", lambda: False, timeout_s=30, of=program)
    finally:
        program.kill()


def test_guardian_kills_what_it_guards_unless_it_was_released(tmp_path: Path) -> None:
    left, ended = start(CHILD, tmp_path / "left"), start(CHILD, tmp_path / "ended")
    try:
        guardian = Guardian()
        guardian.watch(left.session)
        guardian.watch(ended.session)
        guardian.forget(ended.session)

        # as when the watching process is gone
        guardian.close()

        assert members(left.session) == []
        assert len(members(ended.session)) == 1
    finally:
        left.kill()
        ended.kill()


def test_marks_of_several_processes_are_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = Marks(tmp_path / "marks")
    monkeypatch.setenv(VARIABLE, str(marks.path))
    code = "from benchmarks.marks import Marker; m = Marker(); [m.mark(7) for _ in range(50)]"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    Marker().nap(3, 0)
    assert [other.wait(30) for other in others] == [0, 0]

    assert marks.count() == 102
    mine = [mark for mark in marks.read() if mark.number == 3]
    assert [mark.kind for mark in mine] == [Kind.START, Kind.END]
    assert mine[0].at_ns <= mine[1].at_ns
    assert marks.path.stat().st_size == 102 * 16
