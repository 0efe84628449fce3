"""Commands find the system that runs in their project's folder, without any exports."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from remotejob import RemoteJob
from remotejob.cli.app import run as run_here
from remotejob.cli.exit_codes import Exit
from remotejob.cli.project import LOCAL_STATE
from remotejob.cli.single_instance import lock_folder
from remotejob.client.remote_job import NAME_VARIABLE
from remotejob.local.announcement import announced
from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.commands import COMMAND, NO_JOB

PHOTO = Path("examples/photos/cat-face.png").resolve()


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a developer who has exported nothing, and has a default profile."""
    profile = tmp_path / ".aws" / "credentials"
    profile.parent.mkdir()
    profile.write_text("[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "120"}


@pytest.fixture
def project(aws: EmbeddedAws, system: RemoteJob, tmp_path: Path) -> Iterator[Path]:
    """A folder below a project in which this process is `remotejob local`."""
    inner = tmp_path / "my scans" / "tasks"
    inner.mkdir(parents=True)
    (inner.parent / "remotejob.toml").touch()
    state = inner.parent / LOCAL_STATE
    names = {"input_bucket": system.input_bucket, "output_bucket": system.output_bucket}
    environment = {**aws.environment(), NAME_VARIABLE: system.name}
    with (
        lock_folder(state),
        announced(state, system=system.name, environment=environment, **names),
    ):
        yield inner


@pytest.fixture
def here(
    bare: dict[str, str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Here]:
    """Commands in this process, which has imported already what they import."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "REMOTEJOB_"))]:
            patch.delenv(name)
        patch.setenv("HOME", bare["HOME"])
        patch.chdir(project)
        yield Here(patch, capsys)


class Here:
    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        with pytest.MonkeyPatch.context() as patch:
            before = dict(os.environ)
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["remotejob", *arguments])
            code = run_here()
            # a command leads its own process to the system
            for name in set(os.environ) - set(before):
                del os.environ[name]
            os.environ.update(before)
        return (code, *self._capsys.readouterr())


def shell(script: str, folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{COMMAND.parent}:{environ['PATH']}"
    return subprocess.run(
        ["sh", "-euc", script],
        cwd=folder,
        env={**environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_shell_that_exported_nothing_uploads_to_the_system_and_lists_it(
    bare: dict[str, str], project: Path, aws: EmbeddedAws, system: RemoteJob
) -> None:
    upload = (
        "import boto3, os; boto3.client('s3').put_object("
        "Bucket=os.environ['REMOTEJOB_INPUT_BUCKET'], Key='scans/scan.pdf', Body=b'a scan')"
    )
    script = f"""
        remotejob ls --limit 1 --json > ls.json
        eval "$(remotejob env)"
        {shlex.join([sys.executable, "-c", upload])}
        cd /
        remotejob ls --limit 1 --json | cmp - "$OLDPWD/ls.json"
    """
    done = shell(script, project, bare)

    assert (done.returncode, done.stderr) == (0, "")
    assert isinstance(json.loads((project / "ls.json").read_text()), list)
    stored = aws.client("s3").get_object(Bucket=system.input_bucket, Key="scans/scan.pdf")
    assert stored["Body"].read() == b"a scan"


def test_version_is_the_distributions(here: Here) -> None:
    assert here("--version") == (Exit.OK, f"remotejob {version('remotejob-aws')}\n", "")


def test_another_account_in_the_environment_is_refused_in_one_line(here: Here) -> None:
    code, out, err = here("cancel", NO_JOB, AWS_PROFILE="work")

    (line,) = err.splitlines()
    assert (code, out) == (Exit.INVALID, "")
    assert "two systems could be meant: 'default', which runs on this machine" in line
    assert "AWS_PROFILE='work'" in line
    assert "--on local ..., or --on aws ..." in line


@pytest.mark.parametrize("by_variable", [True, False])
def test_on_local_decides(here: Here, *, by_variable: bool) -> None:
    on = () if by_variable else ("--on", "local")
    variable = {"REMOTEJOB_ON": "local"} if by_variable else {}

    code, out, err = here(*on, "ls", "--json", AWS_PROFILE="work", **variable)

    assert (code, err) == (Exit.OK, "")
    assert isinstance(json.loads(out), list)


def test_on_after_the_command_is_told_its_place(here: Here) -> None:
    code, _, err = here("ls", "--on", "aws")

    (line,) = err.splitlines()
    assert code == Exit.INVALID
    assert "--on comes before the command: " in line
    assert "remotejob --on aws ls; see" in line


def test_a_command_that_changes_jobs_says_where(here: Here) -> None:
    code, out, err = here("cancel", NO_JOB, "--json")

    where, line = err.splitlines()
    assert (code, json.loads(out)) == (Exit.NOT_FOUND, [])
    assert where == "system default, local"
    assert line.startswith(f"remotejob: no job '{NO_JOB}'")
    assert line.endswith(" (system default, local)")


def test_an_error_says_which_system_was_asked(here: Here, aws: EmbeddedAws) -> None:
    code, _, err = here("show", NO_JOB, REMOTEJOB_NAME="default")
    assert code == Exit.NOT_FOUND
    assert err.endswith("another system (system default, local)\n")

    # as after `eval "$(remotejob env)"`, in a folder without a local system
    os.chdir("/")
    code, _, err = here("show", NO_JOB, **aws.environment())
    assert code == Exit.NOT_FOUND
    at = re.escape(f"in {aws.region} at {aws.endpoint_url})\n")
    assert re.search(rf"another system \(system default, account \d{{12}} {at}$", err)


def test_without_a_local_system_on_local_names_the_remedy(here: Here) -> None:
    os.chdir("/")
    code, _, err = here("--on", "local", "ls")

    (line,) = err.splitlines()
    assert code == Exit.NOT_FOUND
    assert line.startswith("remotejob: no local system runs here; start it in the project's")
    assert "remotejob local`" in line


def test_env_of_a_system_in_aws_has_no_credentials(
    here: Here, aws: EmbeddedAws, system: RemoteJob
) -> None:
    os.chdir("/")
    code, out, err = here("env", "--json", **aws.environment())

    assert (code, err) == (Exit.OK, "")
    assert json.loads(out) == {
        "REMOTEJOB_NAME": "default",
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        "REMOTEJOB_INPUT_BUCKET": system.input_bucket,
        "REMOTEJOB_OUTPUT_BUCKET": system.output_bucket,
    }


def test_env_unsets_what_would_lead_elsewhere(here: Here, aws: EmbeddedAws) -> None:
    code, out, _ = here("--on", "local", "env", AWS_PROFILE="work", AWS_SESSION_TOKEN="t")

    first, *exports = out.splitlines()
    assert code == Exit.OK
    assert first == "unset AWS_PROFILE AWS_SESSION_TOKEN"
    assert f"export AWS_ENDPOINT_URL='{aws.endpoint_url}'" in exports
    assert all(line.startswith("export ") and line.endswith("'") for line in exports)


def test_values_are_quoted_for_a_shell() -> None:
    from remotejob.cli.env import _quoted

    value = 'it\'s $HOME `x` \\ "y"\n'
    done = subprocess.run(
        ["sh", "-c", f"printf %s {_quoted(value)}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == value


def test_a_past_job_runs_here_on_the_version_of_the_input_it_had(
    here: Here, aws: EmbeddedAws, system: RemoteJob
) -> None:
    job = system.queue().submit("thumbnail", body=PHOTO.read_bytes(), filename="cat.png")
    assert job.input is not None
    aws.client("s3").put_object(Bucket=job.input.bucket, Key=job.input.key, Body=b"no photo")

    tasks = ("--tasks", "worker_container.tasks")
    code, out, err = here("run", "thumbnail", job.id, *tasks, "--data", '{"size": 50}', "--json")

    shown = json.loads(out)
    assert code == Exit.OK, err
    assert shown["result"]["to"] == [50, 33]
    assert Path(shown["outputs"][0]["path"]).name == "cat.png"
    assert job.refresh().attempt == 0
    job.cancel()


def test_without_a_name_the_projects_system_is_meant(
    aws: EmbeddedAws,
    system: RemoteJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(NAME_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    listed = partial(Here(monkeypatch, capsys), "ls", **aws.environment())
    # what it says of queues is not for this command to judge
    text = '[system]\nname = "{}"\n[queues.odd]\n'
    Path("remotejob.toml").write_text(text.format("another"))
    code, _, said = listed()
    assert (code, "another" in said) == (Exit.NOT_FOUND, True)
    Path("remotejob.toml").write_text(text.format(system.name))
    assert listed()[0] == Exit.OK
    Path("remotejob.toml").write_text("[system\n")
    assert listed()[0] == Exit.INVALID
