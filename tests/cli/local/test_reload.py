"""What a changed file of a project concerns, and what is reloaded for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

import pytest

from remotejob.cli.local.reload import Changes, named, reload
from remotejob.cli.local.sources import Concerns, Sources
from tests.projects import write_file

WORKERS, STACKS, COMMAND = Concerns.WORKERS, Concerns.STACKS, Concerns.THIS_COMMAND


@pytest.fixture
def sources(project: Path) -> Sources:
    return Sources.at(project, project / "remotejob.toml")


class Reloaded:
    """What was reloaded, in order."""

    def __init__(self, sources: Sources) -> None:
        self._root = sources.root
        self._changes = Changes(sources)
        self.done: list[str] = []
        self.refused = False
        """Whether the last update of the stacks was."""

    def check(self) -> list[str]:
        """What is reloaded now."""
        self.done.clear()
        reload(
            self._changes.take(),
            root=self._root,
            restart_workers=self._restart,
            update_stacks=lambda names: self.done.append(f"update: {names}"),
            stacks_refused=self.refused,
            say=self.done.append,
        )
        return list(self.done)

    def _restart(self, between: Callable[[], None]) -> int:
        self.done.append("stop")
        between()
        self.done.append("start")
        return 2


@pytest.fixture
def reloaded(sources: Sources) -> Reloaded:
    return Reloaded(sources)


@pytest.mark.parametrize(
    ("path", "concerns"),
    [
        ("tasks/scan.py", {WORKERS}),
        ("tasks/new/deep.py", {WORKERS}),
        ("tasks/words.csv", {WORKERS}),
        ("top_level.py", {WORKERS}),
        ("remotejob.toml", {STACKS}),
        ("app.py", {STACKS}),
        ("cdk.json", {STACKS}),
        # the app imports them, and tasks may do so, too
        ("infrastructure/names.py", {WORKERS, STACKS}),
        ("shared.py", {WORKERS, STACKS}),
    ],
)
def test_file_concerns(project: Path, sources: Sources, path: str, concerns: set[Concerns]) -> None:
    write_file(project / path, "CHANGED = True\n")

    assert sources.concerns()[PurePath(path)] == concerns


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "photos/dog.jpg",
        "build/local/state.json",
        "build/scan.py",
        "cdk.out/tree.json",
        ".venv/lib/module.py",
        "env/lib/module.py",
        ".git/hooks/hook.py",
        "tests/test_scan.py",
        "tasks/__pycache__/scan.cpython-311.pyc",
        "tasks/.scan.py.swp",
        "tasks/scan.py~",
        "tasks/#scan.py#",
        "node_modules/tool.py",
        "scans.egg-info/top.py",
    ],
)
def test_file_concerns_nothing(project: Path, sources: Sources, path: str) -> None:
    write_file(project / "env/pyvenv.cfg", "")
    write_file(project / path, "CHANGED = True\n")

    assert PurePath(path) not in sources.concerns()


@pytest.mark.parametrize(
    ("path", "concerns"),
    [
        ("remotejob/worker/worker.py", {WORKERS, STACKS}),
        ("remotejob/functions/scheduler.py", {WORKERS, STACKS}),
        ("remotejob/cdk/system.py", {STACKS}),
        ("remotejob/cli/app.py", {COMMAND}),
        ("remotejob/local/server.py", {COMMAND}),
        ("lambdas/scheduler.py", {STACKS}),
        ("worker_container/tasks/thumbnail.py", {WORKERS}),
        ("stacks/system.py", {WORKERS, STACKS}),
    ],
)
def test_file_of_the_library_in_its_own_repository_concerns(
    path: str, concerns: set[Concerns]
) -> None:
    sources = Sources.at(Path.cwd(), Path("remotejob.toml"))

    assert sources.concerns()[PurePath(path)] == concerns


def test_settings_file_elsewhere_is_one_of_the_sources(project: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "other.toml", "")

    sources = Sources.at(project, tmp_path / "other.toml")

    assert sources.concerns()[tmp_path / "other.toml"] == {STACKS}
    assert PurePath("remotejob.toml") not in sources.concerns()


def test_changed_task_restarts_the_workers_and_says_so(project: Path, reloaded: Reloaded) -> None:
    write_file(project / "tasks/scan.py", "NEW = 1\n")

    assert reloaded.check() == ["stop", "start", "reloaded tasks/scan.py: 2 workers restarted"]
    assert reloaded.check() == []


def test_save_that_changes_nothing_reloads_nothing(project: Path, reloaded: Reloaded) -> None:
    write_file(project / "tasks/scan.py", "")
    os.utime(project / "tasks/scan.py", (1, 1))

    assert reloaded.check() == []


def test_burst_with_temporary_files_is_one_reload(project: Path, reloaded: Reloaded) -> None:
    """An editor writes a new file and renames it; a checkout changes many, and removes some."""
    write_file(project / "tasks/.scan.py.tmp", "NEW = 1\n")
    (project / "tasks/.scan.py.tmp").rename(project / "tasks/scan.py")
    write_file(project / "tasks/4913", "")
    (project / "tasks/4913").unlink()
    (project / "tasks/words.csv").unlink()
    for number in range(20):
        write_file(project / f"tasks/module_{number:02}.py", f"N = {number}\n")

    assert reloaded.check() == [
        "stop",
        "start",
        "reloaded tasks/module_00.py, tasks/module_01.py, tasks/module_02.py and 19 more files: "
        "2 workers restarted",
    ]


def test_changed_settings_update_the_stacks(project: Path, reloaded: Reloaded) -> None:
    write_file(project / "remotejob.toml", "[system]\nname = 'other'\n")

    assert reloaded.check() == ["update: remotejob.toml"]


def test_value_of_a_secret_mends_settings_that_were_refused(
    project: Path, reloaded: Reloaded
) -> None:
    write_file(project / "secrets.local.toml", "KEY = 'sesame'\n")
    reloaded.refused = True

    assert reloaded.check() == [
        "stop",
        "start",
        "reloaded secrets.local.toml: 2 workers restarted",
        "update: secrets.local.toml",
    ]
    assert reloaded.check() == []


def test_change_of_the_command_itself_says_to_start_it_again(
    project: Path, sources: Sources
) -> None:
    write_file(project / "lib/cli/app.py", "")
    reloaded = Reloaded(replace(sources, own_library=PurePath("lib")))

    write_file(project / "lib/cli/app.py", "NEW = 1\n")

    (said,) = reloaded.check()
    assert said == "lib/cli/app.py changed: end `remotejob local` and start it again to run it"


def test_quick_second_save_of_the_same_size_runs(project: Path, reloaded: Reloaded) -> None:
    """Python's own check of a compiled file has whole seconds: it would run the first."""
    module = project / "tasks/scan.py"
    write_file(module, "print(1)\n")
    os.utime(module, (1_000_000_000.1, 1_000_000_000.1))
    reloaded.check()
    compiles = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = partial(
        subprocess.check_output,
        [sys.executable, "-c", "import tasks.scan"],
        cwd=project,
        env=compiles,
        text=True,
    )
    write_file(project / "tasks/__init__.py", "")
    run()
    assert Path(importlib.util.cache_from_source(str(module))).exists()

    write_file(module, "print(2)\n")
    os.utime(module, (1_000_000_000.9, 1_000_000_000.9))
    reloaded.check()

    assert run() == "2\n"


def test_files_are_named_up_to_three() -> None:
    paths = [PurePath(f"{letter}.py") for letter in "abcde"]

    assert named(paths[:1]) == "a.py"
    assert named(paths[:3]) == "a.py, b.py and c.py"
    assert named(paths) == "a.py, b.py, c.py and 2 more files"
