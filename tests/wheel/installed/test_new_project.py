"""`remotejob init` makes a project whose own tests pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_tests_of_a_new_project_pass(tmp_path: Path) -> None:
    subprocess.run(
        ["remotejob", "init", "scans"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    project = tmp_path / "scans"

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert {"app.py", "cdk.json", "tasks", "worker_container", ".dockerignore"} <= {
        each.name for each in project.iterdir()
    }
