"""An assembly is kept until something changes that it was made from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import remotejob
from remotejob.cli.local.kept_assembly import (
    digest,
    kept_assembly,
    make_assembly,
    remove_old_archives,
)
from remotejob.cli.local.sources import Sources
from remotejob.domain.errors import SettingsError
from tests.projects import write_file

Change = Callable[[Path, pytest.MonkeyPatch], None]


def written(name: str) -> Change:
    return lambda project, _: write_file(project / name, "CHANGED = True\n")


def installed(project: Path, patch: pytest.MonkeyPatch) -> None:
    (project / "packages/aws_cdk_lib-99.dist-info").mkdir(parents=True)
    patch.syspath_prepend(project / "packages")


def library(project: Path, patch: pytest.MonkeyPatch) -> None:
    write_file(project / "elsewhere/remotejob/__init__.py", "")
    patch.setattr(remotejob, "__file__", str(project / "elsewhere/remotejob/__init__.py"))


INPUTS: dict[str, Change] = {
    "settings": written("remotejob.toml"),
    "app": written("app.py"),
    "context": written("cdk.json"),
    "module of the app": written("infrastructure/names.py"),
    "module of a module of the app": written("shared.py"),
    "new module of the app": written("infrastructure/more.py"),
    "configuration": written("config/limits.yaml"),
    "Dockerfile": written("worker_container/Dockerfile"),
    "lock file": written("requirements.txt"),
    "library": library,
    "installed version": installed,
    "Python": lambda _, patch: patch.setattr(sys, "version", "9.9"),
    "variable that the app names": lambda _, patch: patch.setenv("SCANS_REGION", "eu"),
    "variable of the CDK": lambda _, patch: patch.setenv("CDK_DEFAULT_REGION", "eu-west-9"),
}
OTHERS: dict[str, Change] = {
    "task": written("tasks/scan.py"),
    "data": written("photos/cat.jpg"),
    "test": written("tests/test_scan.py"),
    "result": written("build/results/jobs.json"),
    "variable that nobody names": lambda _, patch: patch.setenv("SHLVL", "7"),
    "credentials": lambda _, patch: patch.setenv("AWS_PROFILE", "work"),
    "last command of the shell": lambda _, patch: patch.setenv("_", "/usr/bin/make"),
}


@pytest.fixture
def sources(project: Path) -> Sources:
    app = project / "app.py"
    write_file(app, app.read_text() + 'import os\n_ = os.environ.get("SCANS_REGION")\n')
    return Sources.at(project, project / "remotejob.toml")


def of_now(sources: Sources) -> str:
    return digest(sources, os.environ)


@pytest.mark.parametrize("change", INPUTS.values(), ids=INPUTS)
def test_change_of_an_input_is_another_assembly(
    project: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    before = of_now(sources)

    change(project, monkeypatch)

    assert of_now(sources) != before


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_change_of_anything_else_is_not(
    project: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    before = of_now(sources)

    change(project, monkeypatch)

    assert of_now(sources) == before


def test_assembly_is_made_once_for_what_is_there(
    project: Path, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    settings, kept = project / "remotejob.toml", tmp_path / "kept"
    # an app without the CDK: it only writes what says that an assembly is there
    writes = "import os, pathlib\npathlib.Path(os.environ['CDK_OUTDIR'], 'manifest.json').touch()\n"
    write_file(project / "app.py", writes)

    assert kept_assembly(sources, settings, kept) is None
    first = make_assembly(sources, settings, kept)
    assert kept_assembly(sources, settings, kept) == first
    write_file(settings, "[system]\nname = 'other'\n")
    assert kept_assembly(sources, settings, kept) is None
    second = make_assembly(sources, settings, kept)
    write_file(settings, "[system]\n")
    assert kept_assembly(sources, settings, kept) == first
    write_file(settings, "[system]\nname = 'third'\n")
    third = make_assembly(sources, settings, kept)

    # the least recently used one is gone
    assert sorted(kept.iterdir()) == sorted([first, third])
    assert not second.exists()


def test_deployed_assembly_is_kept_however_old_it_is(
    project: Path, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an update fails, it is deployed again."""
    monkeypatch.chdir(project)
    writes = "import os, pathlib\npathlib.Path(os.environ['CDK_OUTDIR'], 'manifest.json').touch()\n"
    write_file(project / "app.py", writes)
    settings, kept = project / "remotejob.toml", tmp_path / "kept"
    deployed = make_assembly(sources, settings, kept)

    for name in ("a", "b", "c"):
        write_file(settings, f"[system]\nname = '{name}'\n")
        made = make_assembly(sources, settings, kept, deployed=deployed)

    assert deployed.exists()
    assert made.exists()


def test_app_that_fails_leaves_no_assembly(
    project: Path, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    write_file(project / "app.py", "raise SystemExit('no such region')\n")

    with pytest.raises(SettingsError, match="no such region"):
        make_assembly(sources, project / "remotejob.toml", tmp_path / "kept")

    assert list((tmp_path / "kept").iterdir()) == []


def test_archives_of_assemblies_that_are_gone_are_removed(tmp_path: Path) -> None:
    write_file(tmp_path / "cdk.out/now/asset.used/handler.py", "")
    for name in ("used.zip", "old.zip", ".made.1234"):
        write_file(tmp_path / "assets" / name, "")

    remove_old_archives(tmp_path / "assets", tmp_path / "cdk.out")
    remove_old_archives(tmp_path / "none", tmp_path / "cdk.out")

    assert {path.name for path in (tmp_path / "assets").iterdir()} == {"used.zip", ".made.1234"}
