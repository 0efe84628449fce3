"""`remotejob map`, its batch commands, and `remotejob workers`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from remotejob import Queue, RemoteJob
from remotejob.cli.app import app
from remotejob.testing import Simulation
from tests.jobs.queries.why.conftest import Live


@pytest.fixture(autouse=True)
def connected(remote: RemoteJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is for the test's own system."""
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: remote)


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('"good"\n"fail"\n"good"\n')
    return path


def work_off(worker: Simulation) -> None:
    while worker.step():
        pass


def test_manifest_becomes_a_batch_that_is_shown_listed_and_cancelled(
    manifest: Path, worker: Simulation
) -> None:
    batch_id = run("map", "work", str(manifest), "--on-complete", "draw").strip()

    shown = json.loads(run("batch", batch_id, "--json"))
    assert (shown["total"], shown["completed"], shown["state"]) == (3, 0, "running")
    assert len(json.loads(run("batch-jobs", batch_id, "--json"))) == 3
    assert f"once batch {batch_id} is done" in run("why", shown["on_complete"]).replace("\n", " ")

    cancelled = json.loads(run("batch-cancel", batch_id, "--json"))
    assert cancelled["cancelled"] == 3
    work_off(worker)
    retried = json.loads(run("batch-retry", batch_id, "--json"))
    assert retried["cancelled"] == 0


def test_batch_is_shown_to_people(manifest: Path, worker: Simulation) -> None:
    batch_id = run("map", "work", str(manifest), "--name", "nightly").strip()
    lines = [line.split() for line in run("batch", batch_id).splitlines()]
    assert ["name", "nightly"] in lines
    assert ["total", "3"] in lines


def test_waiting_for_a_batch_of_which_one_was_cancelled_exits_with_1(
    queue: Queue, manifest: Path
) -> None:
    batch_id = run("map", "work", str(manifest)).strip()
    run("batch-cancel", batch_id)
    assert "cancelled" in run("batch", batch_id, "--wait", code=1)


def test_workers_are_listed_with_what_they_can_do(live: Live) -> None:
    assert run("workers", "--json").strip() == "[]"
    live("w1", "work", "draw")
    (worker,) = json.loads(run("workers", "--json"))
    assert (worker["name"], worker["alive"], worker["running"]) == ("w1", True, [])
    assert worker["abilities"] == ["draw", "work"]
    assert "draw, work" in run("workers", "--queue", "default")
