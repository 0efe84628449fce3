"""The app of a project that `remotejob init` makes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from remotejob.cli.init.adding import make


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "My Scans"
    make(folder, "my-scans")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.exhaustive
def test_a_new_project_is_synthesized_without_a_finding(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "large").write_text("")
    (project / "uv.lock").write_text("")
    assembly = Path(runpy.run_path("app.py", run_name="__main__")["app"].outdir)

    report = json.loads((assembly / "validation-report.json").read_text())
    assert {each["conclusion"] for each in report["pluginReports"]} == {"success"}
    stacks = sorted(path.name for path in assembly.glob("*.template.json"))
    assert stacks == [
        f"remotejob-my-scans-{part}.template.json" for part in ("functions", "storage", "workers")
    ]
    (image,) = (path for path in assembly.glob("asset.*") if (path / "tasks").exists())
    sent = {path.name for path in image.iterdir()}
    assert sent >= {"pyproject.toml", "tasks", "uv.lock", "worker_container"}
    assert not sent & {".venv", "app.py", "cdk.out", "samples", "tests"}


def test_settings_that_are_wrong_end_it_with_one_line(project: Path) -> None:
    settings = project / "remotejob.toml"
    settings.write_text(settings.read_text().replace("cpu = 1024", "cpu = 1000"))
    with pytest.raises(SystemExit, match=r"^error: .*cpu = 1000"):
        runpy.run_path("app.py", run_name="__main__")
