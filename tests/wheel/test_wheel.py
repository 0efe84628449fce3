"""The wheel works where nothing of the checkout is: each extra, and on each Python that is here."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from release.build import ROOT
from tests.wheel.environments import Python, environment_with, pythons, run_there

INSTALLED = Path(__file__).parent / "installed"
# it needs the wheel and pytest alone, as those do
MEMORY = ROOT / "tests/backends/test_memory.py"

# what a program with this extra imports; all of `local` is tried on each Python
IMPORTS = {
    "": ["remotejob.client.remote_job", "remotejob.hooks", "remotejob.testing"],
    "worker": ["remotejob.container.main", "remotejob.builtin"],
    "otel": ["remotejob.tracing", "opentelemetry.trace"],
    "functions": ["remotejob.functions.on_upload", "remotejob.functions.scheduler"],
    "cli": ["remotejob.cli.app"],
    "cdk": ["remotejob.cdk"],
    "examples": ["PIL.Image"],
    "testing": ["remotejob.testing.plugin"],
    "test": ["remotejob.testing.conformance", "pytest"],
}


def test_each_extra_has_its_test() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*IMPORTS, "local"} - {""} == set(project["optional-dependencies"])


@pytest.mark.parametrize("extra", IMPORTS, ids=lambda extra: extra or "the client alone")
def test_an_extra_brings_what_its_programs_import(extra: str, wheel: Path, tmp_path: Path) -> None:
    extras = [extra] if extra else []
    python = environment_with(wheel, tmp_path / "venv", python=pythons()[0], extras=extras)
    program = f"import {', '.join(IMPORTS[extra])}, remotejob; print(remotejob.__file__)"

    done = run_there(python, ["-c", program], folder=tmp_path, timeout_s=120)

    assert done.returncode == 0, done.stdout
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "venv")


@pytest.mark.parametrize("python", pythons(), ids=lambda python: python.version)
def test_what_matters_works_when_installed(python: Python, wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "a folder of mine"
    place.mkdir()
    made = environment_with(wheel, place / "venv", python=python, extras=["local"], more=["pytest"])
    shutil.copytree(INSTALLED, place / "installed", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(MEMORY, place / "installed")

    done = run_there(
        made,
        ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "installed"],
        folder=place,
        timeout_s=600,
    )

    assert done.returncode == 0, done.stdout
