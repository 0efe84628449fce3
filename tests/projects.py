"""Projects as users have them: their files, and pytest that runs in their folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PYTEST: Final = Path(sys.executable).parent / "pytest"
_PATIENCE_S: Final = 300.0


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files by their path in a folder, which need not be there yet."""
    for name, text in files.items():
        write_file(folder / name, text)


def write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pytest_in(project: Path, *options: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a project's tests from its folder, without the variables of this process."""
    return subprocess.run(
        [_PYTEST, "-q", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def complaints(project: Path, files: Sequence[str], *, rules: str, ignored: str = "") -> str:
    """What the linter and the formatter say about files of a project; empty if it is nothing."""
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--quiet", "--isolated", "--no-cache", "--config", "line-length=100"]
    check = ["check", "--select", rules, *(["--ignore", ignored] if ignored else [])]
    said = ""
    for command in (check, ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, *options, *files],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr
    return said
