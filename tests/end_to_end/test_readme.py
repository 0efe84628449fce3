"""The README's commands, as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from remotejob import Job, RemoteJob, State
from remotejob.client.remote_job import Queue
from remotejob.local.embedded import EmbeddedAws
from remotejob.tasks import Registry
from remotejob.testing import Simulation, memory_installation

README = Path("README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
REMOTEJOB = [command for command in COMMANDS if command.startswith("remotejob ")]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

BIN = Path(sys.executable).parent


@pytest.mark.usefixtures("worker")
def test_commands_succeed_in_their_order(aws: EmbeddedAws) -> None:
    assert len(REMOTEJOB) > 1
    for command in REMOTEJOB:
        program, *arguments = shlex.split(command)

        done = subprocess.run(
            [BIN / program, *arguments],
            env={**os.environ, **aws.environment()},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "completed" in done.stdout, command


def test_every_command_it_names_is_one() -> None:
    named = set(re.findall(r"(?<!from )(?<![\w./-])remotejob ([a-z-]+)\b", README))

    done = subprocess.run([BIN / "remotejob", "--help"], check=True, capture_output=True, text=True)

    assert {"init", "local", "env", "submit", "run"} <= named
    listed = set(re.findall(r"^│ ([a-z-]+) ", done.stdout, re.MULTILINE))
    assert named <= listed


@pytest.mark.usefixtures("worker", "exported")
def test_client_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for block in PYTHON if "RemoteJob.connect" in block)
    (tmp_path / "examples").symlink_to(Path("examples").resolve())
    target = tmp_path / "build/results/cat-face.png"
    target.parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    exec(example, names)  # noqa: S102 (the README's own code)

    assert isinstance(names["queue"], Queue)
    job = names["job"]
    assert isinstance(job, Job)
    assert job.state is State.COMPLETED
    with Image.open(target) as thumbnail:
        assert max(thumbnail.size) == 200


def test_task_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for block in PYTHON if "@task" in block)
    registry = Registry()
    monkeypatch.setattr("remotejob.task", registry.task)
    exec(example, {})  # noqa: S102 (the README's own code)
    installation = memory_installation(queues={"default": ("count-lines",)})
    worker = Simulation(installation=installation, tasks=registry)

    job = RemoteJob(installation).queue().submit("count-lines", body=b"one\ntwo\n")
    worker.step()

    assert job.refresh().result == {"lines": 2}
    assert job.outputs["first.txt"].open().read() == b"one"
