"""What the image of a new project installs: its lock file's packages, one from git included.

There is no Docker here: the command of the Dockerfile runs in a folder instead.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from release.build import UV
from remotejob.cli.init.adding import make

COMMIT = ("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "-m", "-")


@pytest.fixture
def project(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that needs a package from a git repository."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "pyproject.toml").write_text('[project]\nname = "theirs"\nversion = "1.0"\n')
    (theirs / "theirs.py").write_text("WHOSE = 'theirs'\n")
    for command in (("init", "--quiet"), ("add", "."), COMMIT):
        subprocess.run(["git", *command], cwd=theirs, check=True)
    folder = tmp_path / "my scans"
    make(folder, "scans")
    settings = folder / "pyproject.toml"
    ours = '    "remotejob-aws[worker]",\n'
    named = f'    "theirs @ git+{theirs.as_uri()}",\n'
    settings.write_text(settings.read_text().replace(ours, ours + named))
    monkeypatch.setenv("UV_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(tmp_path / "venv"))
    monkeypatch.setenv("PATH", f"{UV.parent}{os.pathsep}{os.environ['PATH']}")
    return folder


def uv(folder: Path, *arguments: str) -> None:
    done = subprocess.run([UV, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the Dockerfile's command that installs the dependencies."""
    text = (folder / "worker_container" / "Dockerfile").read_text()
    (command,) = re.findall(r"^RUN (if \[ -f uv\.lock \].*?[^\\])$", text, re.DOTALL | re.MULTILINE)
    return subprocess.run(
        ["sh", "-c", command.replace("/opt/venv", os.environ["UV_PROJECT_ENVIRONMENT"])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def imported(folder: Path) -> str:
    python = Path(os.environ["UV_PROJECT_ENVIRONMENT"]) / "bin" / "python"
    program = "import remotejob.container.main, theirs; print(theirs.WHOSE)"
    return subprocess.run(
        [python, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def needs_git(folder: Path) -> bool:
    text = (folder / "worker_container" / "Dockerfile").read_text()
    (test,) = re.findall(r"^RUN if (grep .*?); then", text, re.MULTILINE)
    return subprocess.run(["sh", "-c", test], cwd=folder, check=False).returncode == 0


@pytest.mark.parametrize(
    "lock",
    [
        ("lock",),
        (
            *("pip", "compile", "--universal", "--generate-hashes", "pyproject.toml"),
            *("--output-file", "requirements.txt"),
        ),
    ],
    ids=["uv.lock", "requirements.txt"],
)
def test_the_image_installs_what_is_locked(project: Path, lock: tuple[str, ...]) -> None:
    uv(project, *lock, "--quiet")
    assert needs_git(project)
    done = install(project)
    assert done.returncode == 0, done.stderr
    assert imported(project) == "theirs\n"


def test_without_a_package_from_git_the_build_needs_none(project: Path) -> None:
    settings = project / "pyproject.toml"
    settings.write_text(re.sub(r'    "theirs .*\n', "", settings.read_text()))
    uv(project, "lock", "--quiet")
    assert not needs_git(project)


def test_without_a_lock_the_build_says_what_to_do(project: Path) -> None:
    done = install(project)
    assert done.returncode == 1
    assert done.stderr == "there is no uv.lock and no requirements.txt: run 'uv lock' first\n"


def test_a_lock_that_does_not_fit_is_refused(project: Path) -> None:
    uv(project, "lock", "--quiet")
    settings = project / "pyproject.toml"
    settings.write_text(re.sub(r'    "theirs .*\n', "", settings.read_text()))
    assert "needs to be updated" in install(project).stderr
