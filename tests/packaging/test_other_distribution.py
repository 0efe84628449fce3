"""Another project's package is called remotejob, too: whoever installs both is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import remotejob
from remotejob.cli.exit_codes import Exit

LIBRARY = Path(remotejob.__file__).parent
REMEDY = "pip uninstall --yes remotejob remotejob-aws && pip install remotejob-aws"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with ours, and the notes of pip about ours."""
    shutil.copytree(
        LIBRARY, tmp_path / "remotejob", ignore=shutil.ignore_patterns("__pycache__", "local")
    )
    (tmp_path / "remotejob_aws-0.1.0.dist-info").mkdir()
    return tmp_path


def run(site: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site)},
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ours_alone_is_imported(site: Path) -> None:
    done = run(site, "import remotejob; print(remotejob.__file__)")
    assert done.stdout.strip() == str(site / "remotejob" / "__init__.py"), done.stderr


@pytest.mark.parametrize("notes", ["remotejob-0.2.0.dist-info", "remotejob-0.2.0.egg-info"])
def test_the_first_import_names_the_other_one_and_the_remedy(site: Path, notes: str) -> None:
    (site / notes).mkdir()
    done = run(site, "import remotejob")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert str(site / notes) in last
    assert last.endswith(REMEDY)


def test_the_command_says_it_when_the_other_one_was_installed_last(site: Path) -> None:
    """Then its `__init__` stands in the place of ours."""
    (site / "remotejob-0.2.0.dist-info").mkdir()
    (site / "remotejob" / "__init__.py").write_text("def run_job(): ...\n")
    done = run(site, "from remotejob.cli import main; main()")
    assert done.returncode == Exit.TROUBLE
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().endswith(REMEDY)
