"""The commands that change jobs, against the deployed system."""

from __future__ import annotations

import json

import pytest

from remotejob.cli.exit_codes import Exit
from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.commands import NO_JOB, Done, one_line, remotejob_here


def submitted(aws: EmbeddedAws, *options: str) -> str:
    return remotejob_here(aws, "submit", "hold", "--delay", "3600", *options).stdout.strip()


def state(aws: EmbeddedAws, job_id: str) -> str:
    return str(json.loads(remotejob_here(aws, "show", job_id, "--json").stdout)["state"])


def test_jobs_are_paused_resumed_cancelled_restarted_and_removed(aws: EmbeddedAws) -> None:
    first, second = submitted(aws), submitted(aws)
    seen = []
    for command in ("pause", "resume", "cancel", "restart", "cancel"):
        done = remotejob_here(aws, command, first, second, "--json")
        assert done.returncode == Exit.OK, done.stderr
        seen.append([job["state"] for job in json.loads(done.stdout)])
        if command == "restart":
            # out of reach of any worker again, for the next command
            assert remotejob_here(aws, "pause", first, second).returncode in (Exit.OK, Exit.INVALID)

    assert seen[:3] == [["paused"] * 2, ["waiting"] * 2, ["cancelled"] * 2]
    assert seen[3] == ["waiting"] * 2
    removed = remotejob_here(aws, "remove", first)
    assert removed.returncode == Exit.OK, removed.stderr
    assert remotejob_here(aws, "show", first).returncode == Exit.NOT_FOUND


def test_dependent_job_shows_what_it_waits_for_and_is_cancelled_with_it(aws: EmbeddedAws) -> None:
    first = submitted(aws)
    second = submitted(aws, "--depends", first, "--resource", "cat", "--tenant", "acme")

    shown = json.loads(remotejob_here(aws, "show", second, "--json").stdout)
    assert (shown["depends"], shown["resource"], shown["tenant"]) == ([first], "cat", "acme")
    assert first in remotejob_here(aws, "show", second).stdout

    assert remotejob_here(aws, "cancel", first).returncode == Exit.OK
    assert state(aws, second) == "cancelled"


def test_repeating_job_shows_its_schedule_and_a_key_makes_one_job(aws: EmbeddedAws) -> None:
    options = ("--repeat", "every day at 09:30", "--repeats", "3", "--key", "nightly")
    first, second = submitted(aws, *options), submitted(aws, *options)

    assert first == second
    assert "every day at 09:30, 3 times more" in remotejob_here(aws, "show", first).stdout
    assert remotejob_here(aws, "cancel", first).returncode == Exit.OK


def test_waiting_job_is_made_ready_for_another_time(aws: EmbeddedAws) -> None:
    job_id = submitted(aws)
    done = remotejob_here(aws, "ready", job_id, "--at", "2099-01-01T00:00:00", "--json")
    assert json.loads(done.stdout)["due"].startswith(("2098-12-31", "2099-01-01"))
    assert remotejob_here(aws, "cancel", job_id).returncode == Exit.OK


def test_one_that_refuses_does_not_stop_the_others(aws: EmbeddedAws) -> None:
    job_id = submitted(aws)
    done = remotejob_here(aws, "cancel", NO_JOB, job_id)
    assert done.returncode == Exit.NOT_FOUND
    assert f"no job '{NO_JOB}'" in after_the_place(done)
    assert state(aws, job_id) == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pause", "nonsense"), "an id has 26 letters and digits"),
        (("delete-failed",), "give either job ids or --all"),
        (("submit", "hold", "--repeats", "2"), "--repeat 'every 15 minutes'"),
        (("submit", "hold", "--time-zone", "Europe/Berlin"), "--repeat 'every 15 minutes'"),
        (("submit", "hold", "--retry-wait", "5"), "--retries 2"),
        (("restart", NO_JOB, "--retry-wait", "5"), "--retries 2"),
        (("submit", "hold", "--repeat", "sometimes"), "write it as cron does"),
        (("submit", "hold", "--depends", NO_JOB), "no such job"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_refusals_name_the_remedy(aws: EmbeddedAws, arguments: tuple[str, ...], told: str) -> None:
    done = remotejob_here(aws, *arguments)
    assert done.returncode == Exit.INVALID
    refusal = after_the_place(done) if arguments[0] == "pause" else one_line(done)
    assert told in refusal


def after_the_place(done: Done) -> str:
    """The one line after the one that says which system is changed."""
    place, line = done.stderr.splitlines()
    assert place.startswith("system default, account ")
    return line


@pytest.mark.usefixtures("worker")
def test_failed_jobs_are_listed_retried_and_deleted(aws: EmbeddedAws) -> None:
    bad = "examples/photos/not-a-photo.jpg"
    waited = remotejob_here(aws, "submit", "thumbnail", bad, "--wait", "--json")
    job_id = json.loads(waited.stdout)["id"]
    listed = json.loads(remotejob_here(aws, "failed", "--json").stdout)
    assert job_id in [job["id"] for job in listed]

    assert remotejob_here(aws, "retry-failed", job_id).returncode == Exit.OK
    assert remotejob_here(aws, "wait", job_id, "--timeout", "60").returncode == Exit.JOB_FAILED
    deleted = remotejob_here(aws, "delete-failed", job_id)
    assert deleted.returncode == Exit.OK, deleted.stderr
    assert remotejob_here(aws, "show", job_id).returncode == Exit.NOT_FOUND
