"""Changes of a project are noticed: in its folders, in new ones, and where none can be watched."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from remotejob.cli.local import watcher as module
from remotejob.cli.local.sources import Sources
from remotejob.cli.local.watcher import Watcher
from tests.end_to_end.waiting import until
from tests.projects import write_file


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watcher(project: Path, said: list[str]) -> Iterator[Watcher]:
    sources = Sources.at(project, project / "remotejob.toml")
    with Watcher(sources, say=said.append) as watching:
        yield watching


def notices(watcher: Watcher, path: Path) -> None:
    """Save a file until it is noticed: when watching begins, nobody can see."""
    saves = iter(range(10_000))
    while watcher.wait(0.3):
        """What was noticed before is none of this file's."""

    def noticed() -> bool:
        write_file(path, f"NEW = {next(saves)}\n")
        return watcher.wait(0.2)

    until(noticed, what=f"a change of {path}")


def test_files_in_the_root_and_in_folders_are_watched(watcher: Watcher, project: Path) -> None:
    notices(watcher, project / "remotejob.toml")
    notices(watcher, project / "tasks/scan.py")
    notices(watcher, project / "tasks/deep/er.py")


@pytest.mark.exhaustive
def test_new_folder_and_one_that_was_replaced_are_watched(watcher: Watcher, project: Path) -> None:
    notices(watcher, project / "tasks/scan.py")
    shutil.rmtree(project / "tasks")
    notices(watcher, project / "tasks/scan.py")
    notices(watcher, project / "more/code.py")
    notices(watcher, project / "more/code.py")


def test_what_is_left_out_wakes_nobody(watcher: Watcher, project: Path) -> None:
    of_sources = watcher._is_of_sources
    change: Any = None

    assert of_sources(change, str(project / "tasks/scan.py"))
    for name in ("build/local/state", ".git/index", "tasks/__pycache__/a.pyc", "tasks/.a.swp"):
        assert not of_sources(change, str(project / name))


def test_change_at_the_end_of_a_wait_is_not_lost(project: Path) -> None:
    watcher = Watcher(Sources.at(project, project / "remotejob.toml"), say=print)

    class Late(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            before = self.is_set()
            self.set()
            return before

    watcher._changed = Late()

    assert not watcher.wait(0)
    assert watcher.wait(0)


def test_where_nothing_can_be_watched_files_are_polled(
    project: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = watchfiles.watch
    monkeypatch.setattr(module, "_POLL_MS", 50)

    def limited(*paths: Path, force_polling: bool | None, **options: Any) -> Iterator[object]:
        if not force_polling:
            raise OSError("OS file watch limit reached")
        yield from real(*paths, force_polling=force_polling, **options)

    monkeypatch.setattr(module, "watch", limited)
    sources = Sources.at(project, project / "remotejob.toml")
    with Watcher(sources, say=said.append) as watcher:
        until(lambda: said, what="the line that says so")
        notices(watcher, project / "tasks/scan.py")

    assert said == ["looking for changed files once a second instead: OS file watch limit reached"]
