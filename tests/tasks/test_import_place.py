"""A failed import is shown with the place in the project where it can be mended."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from remotejob.tasks.import_place import place_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "broken_tasks").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("broken_tasks")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def place(project: Path, source: str) -> str | None:
    """Where the import of a package fails whose second module has this source."""
    (project / "broken_tasks/__init__.py").write_text("import broken_tasks.scan\n")
    (project / "broken_tasks/scan.py").write_text(source)
    with pytest.raises((Exception, SystemExit)) as failed:
        importlib.import_module("broken_tasks")
    return place_of(failed.value, root=project)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = 1\ny = nothing\n", 2),
        ("\n\nimport no_such_module\n", 3),
        ("def f(:\n", 1),
        ("import json\njson.loads('')\n", 2),
        ("import sys\nsys.exit('no')\n", 2),
    ],
)
def test_place_is_the_last_one_in_the_project(project: Path, source: str, line: int) -> None:
    assert place(project, source) == f"broken_tasks/scan.py:{line}"


def test_module_that_is_not_there_has_no_place(project: Path) -> None:
    with pytest.raises(ImportError) as failed:
        importlib.import_module("no_such_module")

    assert place_of(failed.value, root=project) is None


def test_place_elsewhere_has_its_whole_path(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert place(project, "x = nothing\n") == "broken_tasks/scan.py:1"
    sys.modules.pop("broken_tasks", None)
    with pytest.raises(NameError) as failed:
        importlib.import_module("broken_tasks")

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert place_of(failed.value, root=elsewhere) == f"{project}/broken_tasks/scan.py:1"
