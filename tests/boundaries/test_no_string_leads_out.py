"""No string in any field of a record, message, manifest or event makes a file elsewhere.

Every case draws strings that want to, sends them down one road to a disk, and watches each file,
folder and link that this process makes: in the folder that was asked for, in the run's, or nowhere.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from remotejob import RemoteJob
from remotejob.cli.app import run as run_command_line
from remotejob.domain.states import State
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from remotejob.worker.runs.process_folder import process_folder
from tests.boundaries import roads
from tests.boundaries.forging import forged
from tests.boundaries.hostile_text import Hostile
from tests.boundaries.roads import ROADS, TASK, Road, Scene
from tests.boundaries.watching import only_in
from tests.systems import installation_on

_AT_A_TIME: Final = 500
"""Cases of one system: a store in memory keeps what was put in it."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one to save files in, one that must stay as it is, and the current one."""
    for name in ("saved", "outside", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"keep")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "outside"))
    # a module that is imported late would write its own cache
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # every case fails in some way, and says so
    logging.disable(logging.CRITICAL)
    try:
        yield tmp_path
    finally:
        logging.disable(logging.NOTSET)


def _folder(root: Path, number: int) -> Path:
    """A folder for one case, in which earlier outputs have left links."""
    folder = root / "saved" / str(number)
    folder.mkdir()
    (folder / "link").symlink_to(root / "outside" / "secret")
    (folder / "out").symlink_to(root / "outside")
    (folder / "a").symlink_to("../../outside/new")
    return folder


def _travel(
    root: Path, scenes: Iterator[Installation], cases: range, choices: tuple[Road, ...]
) -> None:
    made: Counter[str] = Counter()
    installation: Installation | None = None
    for number in cases:
        if installation is None or number % _AT_A_TIME == 0:
            installation = next(scenes)
        road = choices[number % len(choices)]
        folder = _folder(root, number)
        scene = Scene(installation=installation, hostile=Hostile(number, root), folder=folder)
        # most are refused, in one way or another
        with only_in(folder, process_folder()) as watch, suppress(Exception):
            road(scene)
        made[road.__name__] += watch.inside
        assert watch.outside == [], f"case {number}, {road.__name__}"
        shutil.rmtree(folder)
    assert sorted(path.name for path in root.iterdir()) == ["here", "outside", "saved"]
    assert [path.name for path in (root / "outside").iterdir()] == ["secret"]
    assert (root / "outside" / "secret").read_bytes() == b"keep"
    assert list((root / "here").iterdir()) == []
    # a road on which nothing is ever written would show nothing
    assert {name: made[name] > 0 for name in made} == {road.__name__: True for road in choices}


QUEUES: Final = {"default": (TASK,)}


@pytest.mark.xdist_group("strings in memory")
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(range(900), id="sample"),
        pytest.param(range(900, 100_000), id="others", marks=pytest.mark.exhaustive),
    ],
)
def test_no_string_leads_out_in_memory(root: Path, cases: range) -> None:
    def scenes() -> Iterator[Installation]:
        while True:
            with installation_on("memory", FakeClock(), queues=QUEUES) as made:
                yield made

    _travel(root, scenes(), cases, ROADS)


# what the forged records and events name is sent as it is
@pytest.mark.refused_by_aws
@pytest.mark.xdist_group("strings on aws")
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(range(45), id="sample"),
        pytest.param(range(45, 5_000), id="others", marks=pytest.mark.exhaustive),
    ],
)
def test_no_string_leads_out_on_aws(root: Path, cases: range) -> None:
    with installation_on("aws", FakeClock(), queues=QUEUES) as made:

        def scenes() -> Iterator[Installation]:
            while True:
                yield made

        _travel(root, scenes(), cases, ROADS)


def _command(*arguments: str) -> None:
    sys.argv = ["remotejob", *arguments]
    run_command_line()


def download(scene: Scene) -> None:
    job = roads._completed(scene)
    some = scene.draw.choice([[], ["--force"], ["--json"]])
    one = ["--name", next(iter(job.outputs))] if scene.draw.random() < 0.3 else []
    _command("download", job.id, str(scene.folder), *some, *one)


def run_here(scene: Scene) -> None:
    fields = {**roads._fields(scene), "state": State.FAILED, "task": TASK}
    record = forged(scene.installation, **fields)
    options = ["--tasks", "tests.boundaries.careless", "--out", str(scene.folder)]
    _command("run", TASK, record.id, *options)


def show(scene: Scene) -> None:
    record = forged(scene.installation, **roads._fields(scene))
    for command in (("show", record.id), ("ls", "--limit", "1"), ("why", record.id)):
        with suppress(Exception):
            _command(*command)
    # these write nothing at all; the next one shows that what follows them is watched
    download(scene)


@pytest.mark.xdist_group("strings on the command line")
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(range(45), id="sample"),
        pytest.param(range(45, 5_000), id="others", marks=pytest.mark.exhaustive),
    ],
)
def test_no_string_leads_out_on_the_command_line(
    root: Path,
    cases: range,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    current: list[Installation] = []
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: RemoteJob(current[-1]))
    monkeypatch.setattr(sys, "argv", sys.argv)

    def scenes() -> Iterator[Installation]:
        while True:
            capsys.readouterr()
            with installation_on("memory", FakeClock(), queues=QUEUES) as made:
                current[:] = [made]
                yield made

    _travel(root, scenes(), cases, (download, run_here, show))
