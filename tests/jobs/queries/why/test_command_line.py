"""`remotejob why`, and the jobs that nobody can do in a listing."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from remotejob import Queue, RemoteJob
from remotejob.cli.app import app
from tests.jobs.queries.why.conftest import Live


@pytest.fixture(autouse=True)
def connected(remote: RemoteJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is for the test's own system."""
    monkeypatch.setattr(RemoteJob, "connect", lambda *_, **__: remote)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_why_prints_one_sentence_and_the_remedy(queue: Queue) -> None:
    job = queue.submit("work").pause()

    reason = job.why()
    assert run("why", job.id) == f"{reason.text}\nWhat to do: {reason.remedy}\n"


def test_why_prints_json_for_programs(queue: Queue) -> None:
    antecedent = queue.submit("work")
    job = queue.submit("work", depends=[antecedent])

    printed = json.loads(run("why", job.id, "--json"))

    assert printed == {
        "why": "depends",
        "text": job.why().text,
        "remedy": job.why().remedy,
        "unseen": [],
        "jobs": {antecedent.id: "ready"},
    }


def test_listing_shows_those_that_nobody_can_do(queue: Queue, live: Live) -> None:
    live("w1", "work")
    able, left = queue.submit("work"), queue.submit("draw")

    everything = json.loads(run("ls", "--json"))
    unable = json.loads(run("ls", "--unable", "--json"))

    assert {job["id"] for job in everything} == {able.id, left.id}
    assert [job["id"] for job in unable] == [left.id]
