"""The Python of each page runs as it stands there, block by block, against a system in memory."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import remotejob
from remotejob import RemoteJob, RunningJob, State, TakenJob
from remotejob.hooks import registry as hooks
from remotejob.manual.holder import JobHolder
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry, registry
from remotejob.testing import FakeClock, Simulation, memory_installation

# README's blocks need the project's photos and its own task: tests/end_to_end/test_readme.py
BY_HAND = Path("docs/by-hand.md").absolute()
# the files of projects of their own: tests/docs/test_testing_page.py, test_tutorial.py
PROJECTS = (Path("docs/testing.md"), Path("docs/tutorial.md"))
PAGES = sorted(
    page
    for page in Path("docs").glob("*.md")
    if "```python" in page.read_text() and page not in PROJECTS
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

TASKS = (
    "thumbnail", "gallery", "scan", "read", "index", "stitch", "convert", "report", "poll",
    "publish", "charge", "fetch", "remind", "word_count", "download_and_archive",
)  # fmt: skip
FILES = ("cat.jpg", "page.tif", "photo.jpg", "book.txt")


class Working(FakeClock):
    """Each wait lets a worker take a step."""

    worker: Simulation | None = None

    def sleep(self, span: timedelta) -> None:
        super().sleep(span)
        if self.worker is not None:
            self.worker.step()


def anything(job: RunningJob) -> dict[str, str]:
    for name in ("cat.png", "photo.png"):
        job.output(name, b"smaller")
    return {"task": job.task}


@pytest.fixture
def installation() -> Installation:
    clock = Working()
    made = memory_installation(clock, queues={"default": TASKS, "experiments": TASKS})
    clock.worker = Simulation(installation=made, tasks=Registry())
    for name in TASKS:
        clock.worker.tasks.task(name)(anything)
    for number in range(2):
        made.files.put(Area.INPUT, f"photos/{number}.jpg", b"photo")
    return made


@pytest.fixture
def started(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program's surroundings: the system it connects to, files, and nothing registered."""

    def connect(name: str = "default") -> RemoteJob:
        return RemoteJob(installation, holder=JobHolder(installation, start=lambda beat: None))

    monkeypatch.setattr(RemoteJob, "connect", connect)
    monkeypatch.setattr(hooks, "_functions", {})
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).write_bytes(b"content")


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("text", [page.read_text() for page in PAGES], ids=map(str, PAGES))
def test_the_python_of_a_page_runs(
    text: str, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    for number, block in enumerate(BLOCK.findall(text), start=1):
        # each may register what another one has: they are alternatives, or programs of their own
        monkeypatch.setattr(registry, "_tasks", {})
        exec(compile(block, f"block {number}", "exec"), names)  # noqa: S102 (the page's own code)

    assert text.count("```python") == len(BLOCK.findall(text))
    jobs = RemoteJob(installation).jobs()
    assert not [job.errors for job in jobs if job.state is State.FAILED]


@pytest.mark.usefixtures("started")
def test_what_the_page_by_hand_takes_it_completes(installation: Installation) -> None:
    names: dict[str, Any] = {}
    for block in BLOCK.findall(BY_HAND.read_text()):
        if "store(" not in block:
            exec(block, names)  # noqa: S102 (the page's own code)

    states = {job.state for job in RemoteJob(installation).jobs()}
    assert states == {State.COMPLETED}
    assert names["notice"] is not None


def test_the_pages_that_show_python_are_found() -> None:
    assert {page.stem for page in PAGES} >= {
        "batches", "builtin-tasks", "by-hand", "executors", "hooks", "jobs-together", "receipts",
        "reference", "replay", "why",
    }  # fmt: skip


def test_the_reference_names_everything_there_is() -> None:
    page = Path("docs/reference.md").read_text()
    named = set(re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE))
    listed = {name for row in named for name in re.findall(r"`(\w+)`", row)}

    assert listed == set(remotejob.__all__)


def test_the_page_by_hand_names_every_way_to_end_a_job() -> None:
    page = BY_HAND.read_text()

    for name in ("done", "fail", "release", "acknowledge", "complete"):
        assert f"job.{name}(" in page
        assert hasattr(TakenJob, name)
    assert "examples/requester.py" in page
    assert "examples/receiver.py" in page
