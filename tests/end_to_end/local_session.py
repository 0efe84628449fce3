"""`remotejob local` in a project of its own, as a user runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from remotejob import RemoteJob
from tests.deployed import connected
from tests.end_to_end.commands import COMMAND, bare_environment
from tests.end_to_end.waiting import until
from tests.projects import write_files

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / "build/tests/local-assemblies"
"""The next run of the tests finds its assemblies here, unless their inputs have changed."""
SETTINGS: Final = """
[system]
name = "default"
[queues.default]
tasks = ["work"]
tasks_module = "tasks"
[[routes]]
prefix = "in/"
task = "work"
"""
APP: Final = """
from pathlib import Path
from remotejob.cdk import RemoteJobSystem, WorkerImage, app_in

with app_in(Path(__file__).resolve().parent) as app:
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=WorkerImage(folder=app.folder))
"""
WORK: Final = """
import logging
import time

from remotejob import RunningJob, task
from tasks.version import VERSION


@task("work")
def work(job: RunningJob) -> str:
    print("printed by version", VERSION)
    logging.getLogger("work").info("logged")
    job.log("kept with the job")
    if job.data == "fail":
        raise ValueError("no text")
    time.sleep(0.05)
    return VERSION
"""
FILES: Final = {
    "app.py": APP,
    # with the flags that the constructs need
    "cdk.json": (ROOT / "cdk.json").read_text(),
    "remotejob.toml": SETTINGS,
    "tasks/__init__.py": "from tasks.work import work\n",
    "tasks/work.py": WORK,
    "tasks/version.py": 'VERSION = "one"\n',
    "worker_container/Dockerfile": "FROM python:3.14-slim\n",
    ".dockerignore": "*\n!tasks\n",
}
_PATIENCE_S: Final = 180.0


class Session:
    """A project, and `remotejob local` that runs in it."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.root = root
        self._process = process

    def save(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    @property
    def window(self) -> str:
        """What it has printed, without the times of day."""
        text = (self.root / "window").read_text()
        return re.sub(r"^\d\d:\d\d:\d\d  ", "", text, flags=re.MULTILINE)

    def until_said(self, text: str, *, times: int = 1) -> None:
        """Wait until the window has shown this, and so often."""
        until(
            lambda: self.window.count(text) >= times or self._process.poll() is not None,
            what=f"{text!r}",
            patience=_PATIENCE_S,
        )
        assert self.window.count(text) == times, self.window

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    @contextmanager
    def connected(self) -> Iterator[RemoteJob]:
        # printed again after an update
        exported, _ = json.JSONDecoder().raw_decode((self.root / "environment").read_text())
        with connected(exported) as system:
            yield system


@contextmanager
def local_session(root: Path, *options: str) -> Iterator[Session]:
    """Make the project and start it; it is ready, with a worker unless the options say other."""
    write_files(root, FILES)
    KEPT.mkdir(parents=True, exist_ok=True)
    (root / "build/local").mkdir(parents=True)
    (root / "build/local/cdk.out").symlink_to(KEPT)
    with (
        (root / "environment").open("wb") as environment,
        (root / "window").open("wb") as window,
        subprocess.Popen(
            [COMMAND, "local", "--json", "--workers", "1", *options],
            cwd=root,
            env={**bare_environment(), "PYTHONUNBUFFERED": "1"},
            stdout=environment,
            stderr=window,
        ) as process,
    ):
        session = Session(root, process)
        try:
            until(
                lambda: (
                    (root / "environment").read_text().rstrip().endswith("}")
                    or process.poll() is not None
                ),
                what="a system that is ready",
                patience=_PATIENCE_S,
            )
            assert process.poll() is None, session.window
            yield session
        finally:
            if process.poll() is None:
                process.kill()
