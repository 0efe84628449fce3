"""`remotejob receipt` and `remotejob replay`, on a system in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from remotejob import InvalidName, Job, RemoteJob, State, tasks
from remotejob.cli.app import app
from remotejob.cli.exit_codes import Exit
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation

MODULE = """
from remotejob import task

@task("work")
def work(job):
    job.log("[bold] is no markup here")
    job.output("copy/of it", job.download())
    if job.data == "fail":
        raise ValueError("no such size")
    return {"size": 3}
"""


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = memory_installation(FakeClock())
    monkeypatch.setattr(RemoteJob, "connect", lambda system: RemoteJob(made))
    return made


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the folder the command is called in, and no task registered elsewhere."""
    (tmp_path / "past_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(tasks.registry, "_tasks", {})
    yield "past_tasks"
    sys.modules.pop("past_tasks", None)


def ended(installation: Installation, data: object = None) -> Job:
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: None)
    job = RemoteJob(installation).queue().submit("work", body=b"a body", data=data)
    worker.step()
    return job.refresh()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_receipt_is_shown_as_a_table_and_as_json(installation: Installation) -> None:
    job = ended(installation)

    assert run("receipt", job.id).stdout == f"{job.receipt()}\n"
    assert json.loads(run("receipt", job.id, "--json").stdout) == job.receipt().as_dict()


def test_replay_prints_the_new_job(installation: Installation) -> None:
    job = ended(installation)

    again = RemoteJob(installation).job(run("replay", job.id).stdout.strip())
    assert (again.origin_id, again.state) == (job.id, State.READY)
    shown = json.loads(run("replay", job.id, "--json").stdout)
    assert shown["input"]["version"] == "1"


def test_replay_here_shows_what_came_of_it(installation: Installation, module: str) -> None:
    job = ended(installation)
    done = run("replay", job.id, "--here", "--tasks", module, "--folder", "kept")

    assert done.exit_code == Exit.OK, done.output
    assert done.stdout.splitlines() == [
        "info: [bold] is no markup here",
        "output copy/of it, 6 bytes",
        "saved kept/copy/of it",
        "result {'size': 3}",
    ]
    assert Path("kept/copy/of it").read_bytes() == b"a body"
    assert len(RemoteJob(installation).jobs()) == 1


def test_replay_here_of_a_task_that_fails_exits_with_1(
    installation: Installation, module: str
) -> None:
    job = ended(installation, data="fail")

    done = run("replay", job.id, "--here", "--tasks", module)
    assert done.exit_code == Exit.JOB_FAILED
    assert "past_tasks.py" in done.stdout
    shown = json.loads(run("replay", job.id, "--here", "--tasks", module, "--json").stdout)
    assert shown["error"] == "ValueError('no such size')"
    assert shown["outputs"] == [{"name": "copy/of it", "size": 6}]

    raised = run("replay", job.id, "--here", "--tasks", module, "--on-error", "raise")
    assert isinstance(raised.exception, ValueError)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--here",), "--here needs the module that registers the tasks"),
        (("--here", "--tasks", "no_such"), "--tasks no_such: No module named 'no_such'"),
        (("--here", "--tasks", "x", "--queue", "q"), "--here runs the job on no queue"),
        (("--tasks", "x"), "need --here; add it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    installation: Installation, module: str, options: tuple[str, ...], told: str
) -> None:
    refused = run("replay", ended(installation).id, *options).exception
    assert isinstance(refused, InvalidName)
    assert told in str(refused)
