"""`remotejob receipt` and `remotejob replay`, on a system in memory."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from remotejob import Job, RemoteJob, State
from remotejob.cli.app import app
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = memory_installation(FakeClock())
    monkeypatch.setattr(RemoteJob, "connect", lambda system: RemoteJob(made))
    return made


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
