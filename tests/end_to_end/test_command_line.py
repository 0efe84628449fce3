"""The `remotejob` command, against the deployed system."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remotejob.cli.exit_codes import Exit
from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.commands import (
    NO_JOB,
    one_line,
    remotejob,
    remotejob_here,
    run,
)

PHOTO = "examples/photos/cat-face.png"
NOT_A_PHOTO = "examples/photos/not-a-photo.jpg"


@pytest.mark.usefixtures("worker")
def test_submitted_job_is_shown_listed_waited_for_and_downloaded(
    aws: EmbeddedAws, tmp_path: Path
) -> None:
    submitted = remotejob(aws, "submit", "thumbnail", PHOTO, "--data", '{"size": 50}')
    job_id = submitted.stdout.strip()
    waited = json.loads(remotejob(aws, "wait", job_id, "--timeout", "60", "--json").stdout)
    shown = remotejob(aws, "show", job_id)
    listed = json.loads(remotejob(aws, "ls", "--state", "completed", "--json").stdout)
    downloaded = remotejob(aws, "download", job_id, str(tmp_path / "new"))

    assert submitted.returncode == Exit.OK
    assert waited["state"] == "completed"
    assert waited["result"]["to"] == [50, 33]
    assert waited["outputs"][0]["name"] == "cat-face.png"
    assert "451x300 became 50x33" in shown.stdout
    assert job_id in [job["id"] for job in listed]
    assert downloaded.stdout.splitlines() == [str(tmp_path / "new/cat-face.png")]
    assert (tmp_path / "new/cat-face.png").stat().st_size == waited["outputs"][0]["size"]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("worker")
def test_waiting_for_a_job_that_fails_exits_with_1(aws: EmbeddedAws) -> None:
    done = remotejob(aws, "submit", "thumbnail", NOT_A_PHOTO, "--wait")

    assert done.returncode == Exit.JOB_FAILED
    assert "is not an image" in done.stdout


def test_wait_that_times_out_exits_with_5(aws: EmbeddedAws) -> None:
    job_id = remotejob(aws, "submit", "hold", "--delay", "3600").stdout.strip()

    done = remotejob(aws, "wait", job_id, "--timeout", "0")

    assert done.returncode == Exit.TIMEOUT
    assert one_line(done) == f"remotejob: job {job_id} is still waiting after 0 s"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("submit", "thumbnial"), Exit.INVALID, "unknown task 'thumbnial': queue 'default' runs"),
        (("submit", "thumbnail", "--queue", "q"), Exit.INVALID, "unknown queue 'q'"),
        (("submit", "thumbnail", "no.jpg"), Exit.INVALID, "no such file; check the path"),
        (("submit", "thumbnail", "/dev/null"), Exit.INVALID, "is not a file"),
        (("submit", "thumbnail", "--data", "{size: 1}"), Exit.INVALID, "is not JSON"),
        (("submit", "thumbnail", PHOTO, "--filename", "../x"), Exit.INVALID, "no slashes"),
        (("submit", "thumbnail", PHOTO, "--filename", ".."), Exit.INVALID, "'..' parts"),
        (("submit", "thumbnail", PHOTO, "--filename", "a\nb"), Exit.INVALID, "control characters"),
        (("submit", "thumbnail", "--priority", "urgent"), Exit.INVALID, "critical"),
        (("show", "nonsense"), Exit.INVALID, "an id has 26 letters and digits"),
        (("show", NO_JOB), Exit.NOT_FOUND, "no job"),
        (("ls", "--system", "other"), Exit.NOT_FOUND, "deploy it with `make deploy`"),
        (("batch", f"b-{NO_JOB}"), Exit.NOT_FOUND, "no batch"),
        (("local", "--settings", "no.toml"), Exit.INVALID, "no.toml"),
        (("local", "--process", "nowhere"), Exit.INVALID, "no such folder"),
    ],
    ids=lambda value: "-".join(value)[:40].replace("\n", "") if isinstance(value, tuple) else None,
)
def test_refusal_is_one_line_with_the_remedy(
    aws: EmbeddedAws, arguments: tuple[str, ...], code: Exit, told: str
) -> None:
    done = remotejob_here(aws, *arguments)

    assert done.returncode == code
    assert told in one_line(done)


def test_missing_credentials_are_one_line_with_the_remedy(aws: EmbeddedAws, tmp_path: Path) -> None:
    environment = {name: value for name, value in aws.environment().items() if "KEY" not in name}

    done = run(("ls",), {**environment, "HOME": str(tmp_path)})

    assert done.returncode == Exit.ACCESS
    assert "no AWS credentials" in one_line(done)
    assert "AWS_PROFILE" in one_line(done)


@pytest.mark.exhaustive
def test_unreachable_aws_is_one_line(aws: EmbeddedAws) -> None:
    done = remotejob(aws, "ls", AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")

    assert done.returncode == Exit.ACCESS
    assert "cannot reach AWS" in one_line(done)


def test_wrong_option_exits_with_2(aws: EmbeddedAws) -> None:
    done = remotejob(aws, "ls", "--colour")

    assert done.returncode == Exit.INVALID
    assert "--colour" in done.stderr
