"""`deadletters` and `redrive`: nothing is deleted unless somebody says so."""

from __future__ import annotations

import json

import pytest

from remotejob import InvalidData, Job, Queue, RemoteJob
from remotejob.ports import Channel, Installation, Outgoing, upload_address
from tests.cli.conftest import Run
from tests.jobs.letters.letters import give_up, letters, set_aside, take_messages

UPLOADS_DEAD = upload_address(Channel.UPLOADS_DEAD_LETTER)


@pytest.fixture
def job(queue: Queue, installation: Installation) -> Job:
    """A job whose message was given up, and a letter that nobody understands."""
    job = queue.submit("work")
    give_up(job, installation)
    set_aside(installation, "{", reason="it is not JSON")
    return job


def ids(installation: Installation) -> dict[str | None, str]:
    return {letter.job_id: letter.id for letter in RemoteJob(installation).dead_letters()}


def test_letters_are_listed_with_their_reasons(
    run: Run, job: Job, installation: Installation
) -> None:
    heading, first, reason, second, other = run("deadletters").stdout.splitlines()

    assert heading.split() == [
        "letter",
        "kind",
        "queue",
        "sent",
        "(UTC)",
        "received",
        "about",
        "state",
    ]
    assert {first.split()[0], second.split()[0]} == set(ids(installation).values())
    assert job.id in first
    assert "ready" in first
    assert reason.strip() == "it was received too often, and no worker could handle it"
    assert other.strip() == "it is not JSON"


def test_letters_as_json(run: Run, job: Job) -> None:
    first, second = json.loads(run("deadletters", "--kind", "pending", "--json").stdout)

    assert (first["job"], first["state"], first["lies_in"]) == (job.id, "ready", "dead_letter")
    assert (second["job"], second["reason"], second["body"]) == (None, "it is not JSON", "{")


def test_no_letters_is_said(run: Run) -> None:
    assert run("deadletters").stderr == "no letters\n"
    assert run("deadletters", "--json").stdout == "[]\n"
    assert run("redrive", "--all", code=3).stderr.endswith("no letters\n")


def test_redrive_of_a_job_says_what_became_of_it(
    run: Run, job: Job, installation: Installation
) -> None:
    shown = run("redrive", "--job", job.id).stdout

    assert f"({job.id}): sent again" in shown
    assert len(take_messages(installation)) == 1
    assert len(ids(installation)) == 1


def test_redrive_of_all_exits_with_6_if_one_stays(run: Run, job: Job) -> None:
    done = run("redrive", "--all", code=6)

    assert "kept for people: it is not JSON" in done.stdout
    assert "--discard" in done.stderr


def test_dry_run_changes_nothing(run: Run, job: Job, installation: Installation) -> None:
    shown = run("redrive", "--job", job.id, "--dry-run").stdout

    assert job.id in shown
    assert "not JSON" not in shown
    assert take_messages(installation) == []
    assert len(ids(installation)) == 2


def test_discard_asks_first(run: Run, job: Job, installation: Installation) -> None:
    message = ids(installation)[None]
    with pytest.raises(InvalidData, match="add --yes"):
        run("redrive", "--message", message, "--discard")
    assert len(ids(installation)) == 2

    assert "discarded" in run("redrive", "--message", message, "--discard", "--yes").stdout
    assert list(ids(installation)) == [job.id]


def test_an_upload_is_shown_by_its_file(run: Run, installation: Installation) -> None:
    body = {
        "time": "2026-01-15T12:00:00Z",
        "detail": {"bucket": {"name": "in"}, "object": {"key": "a b.jpg", "etag": "e"}},
    }
    installation.messages.send(UPLOADS_DEAD, [Outgoing(body=json.dumps(body))])

    assert "s3://in/a b.jpg: the upload function failed" in run("deadletters").stdout
    assert "s3://in/a b.jpg" in run("redrive", "--kind", "uploads").stdout
    assert len(letters(installation, upload_address(Channel.UPLOADS))) == 1


@pytest.mark.parametrize("arguments", [[], ["--all", "--queue", "default"]])
def test_redrive_needs_one_way_to_say_which(run: Run, arguments: list[str]) -> None:
    with pytest.raises(InvalidData, match="give --all, or which"):
        run("redrive", *arguments)
