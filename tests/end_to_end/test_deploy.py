"""`remotejob deploy` against the embedded AWS: preflight, a deployment, and the smoke job.

In the place of the CDK's command line stands a program that knows one assembly, and deploys what is
deployed already, or fails.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remotejob import RemoteJob
from remotejob.cli.deploy.cdk_program import CHOSEN
from remotejob.cli.exit_codes import Exit
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import SMOKE_PREFIX, Env
from tests.deployed import ROOT
from tests.end_to_end.commands import Done, one_line, remotejob_here
from tests.end_to_end.waiting import PATIENCE, until

CDK = """#!/bin/sh
while [ "$#" -gt 0 ]; do
  case "$1" in
    synth|deploy) verb=$1 ;;
    --output) out=$2 ;;
  esac
  shift
done
case "$verb" in
  synth) rm -rf "$out" && mkdir -p "$(dirname "$out")" && cp -r "{assembly}" "$out" ;;
  deploy) exit {code} ;;
esac
"""

Deploy = Callable[..., Done]


pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module", autouse=True)
def _ecs_has_its_role(aws: EmbeddedAws) -> None:
    aws.client("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


@pytest.fixture
def deploy(aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Runs the command, with a CDK that ends with `code`."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CDK_DOCKER", "true")
    monkeypatch.setattr("remotejob.cli.deploy.command.ASSEMBLY", tmp_path / "assembly")

    def run(*options: str, code: int = 0) -> Done:
        program = tmp_path / "cdk"
        program.write_text(CDK.format(assembly=aws.deployed_from, code=code))
        program.chmod(0o755)
        monkeypatch.setenv(CHOSEN, str(program))
        return remotejob_here(
            aws, "deploy", "development", "--smoke-timeout", str(PATIENCE), *options
        )

    return run


@pytest.fixture
def broken_worker(aws: EmbeddedAws, system: RemoteJob) -> Iterator[None]:
    """One of an image without its tasks, started for the first smoke job that comes."""

    def start() -> None:
        until(lambda: files(aws, system), what="the smoke job's file")
        aws.start_worker(environment={Env.TASKS: "no_such_tasks"}).wait()

    starting = threading.Thread(target=start)
    starting.start()
    yield
    starting.join()
    for key in files(aws, system):
        aws.client("s3").delete_object(Bucket=system.input_bucket, Key=key)


def files(aws: EmbeddedAws, system: RemoteJob) -> list[str]:
    """Keys of what the smoke jobs left in the input bucket."""
    listed = aws.client("s3").list_objects_v2(Bucket=system.input_bucket, Prefix=SMOKE_PREFIX)
    return [one["Key"] for one in listed.get("Contents", [])]


@pytest.mark.usefixtures("worker")
def test_a_deployment_is_checked_made_and_tried(
    aws: EmbeddedAws, system: RemoteJob, deploy: Deploy
) -> None:
    done = deploy("--json")

    assert done.returncode == Exit.OK, done.stderr
    said = json.loads(done.stdout)
    assert said["systems"] == ["default"]
    assert (said["stage"], said["account"]) == ("development", aws.deployment.account)
    assert [one["status"] for one in said["stacks"]] == ["CREATE_COMPLETE"] * 3
    (smoked,) = said["smoke"]
    assert (smoked["queue"], smoked["verdict"]) == ("default", "passed")
    assert {one["severity"] for one in said["findings"]} <= {"warning"}
    assert files(aws, system) == []


def test_a_broken_image_is_known_at_once(deploy: Deploy, broken_worker: None) -> None:
    done = deploy()

    assert done.returncode == Exit.JOB_FAILED
    assert "queue default: failed: " in done.stdout
    assert "no_such_tasks" in done.stdout


def test_a_failed_deployment_says_what_is_left_and_what_it_costs(deploy: Deploy) -> None:
    done = deploy(code=1)

    assert done.returncode == Exit.TROUBLE
    assert "stack remotejob-default-workers: CREATE_COMPLETE" in done.stderr
    assert "what is left costs " in done.stderr
    assert "cdk destroy --all" in done.stderr
    assert "the deployment failed" in done.stderr.splitlines()[-1]


def test_without_its_role_for_ecs_nothing_is_deployed(aws: EmbeddedAws, deploy: Deploy) -> None:
    role = "aws-service-role/ecs.amazonaws.com/"
    iam = aws.client("iam")
    (found,) = iam.list_roles(PathPrefix=f"/{role}")["Roles"]
    for attached in iam.list_attached_role_policies(RoleName=found["RoleName"])["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=found["RoleName"], PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=found["RoleName"])
    try:
        done = deploy("--no-smoke")
    finally:
        iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")

    assert done.returncode == Exit.TROUBLE
    assert "create-service-linked-role" in done.stdout
    assert done.stderr.splitlines()[-1] == "nothing was deployed"


def test_a_cdk_that_is_not_there_is_named(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHOSEN, "/no/such/cdk")
    done = remotejob_here(aws, "deploy", "development")
    assert done.returncode == Exit.INVALID
    assert "REMOTEJOB_CDK='/no/such/cdk' is no program" in one_line(done)
