"""Hints name the command as it was called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remotejob.cli.program import called_as


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "a project" / ".venv" / "bin" / "remotejob"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(path), "ls"])
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    return path


def test_a_program_on_the_path_is_called_by_its_name(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    assert called_as() == "remotejob"


def test_a_program_that_is_not_on_the_path_is_called_by_its_own(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.parents[2])
    assert called_as() == ".venv/bin/remotejob"


@pytest.mark.usefixtures("program")
def test_a_path_is_quoted_for_the_shell() -> None:
    assert called_as() == "'a project/.venv/bin/remotejob'"


@pytest.mark.usefixtures("program")
def test_a_module_is_called_through_its_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/remotejob/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert called_as() == "/usr/bin/python3 -m remotejob"
