"""`make verify-aws`, on the embedded AWS: what it tries, and that it always removes everything.

A function of the test stands for the command line: it deploys the assembly of these settings, and
destroys its stacks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from remotejob import RemoteJob
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Part, stack_name
from remotejob.settings import parse
from tests.deployed import ROOT, deployed, exported
from verify.__main__ import AGREED, refusal
from verify.scenarios import ALL, Target
from verify.throwaway import SETTINGS as THROWAWAY
from verify.throwaway import Verification, empty

SETTINGS = Path(__file__).with_name("remotejob.toml")
NAME = "verify-here"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS) as embedded:
        yield embedded


class CommandLine:
    """Deploys nothing that is not there; destroys, unless told otherwise."""

    def __init__(self, aws: EmbeddedAws, *, deploying: int = 0, destroying: int = 0) -> None:
        self.aws = aws
        self.codes = {"deploy": deploying, "cdk": destroying}
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, arguments: Sequence[str]) -> int:
        self.asked.append(tuple(arguments))
        return self.codes[arguments[0]]


def verification(
    aws: EmbeddedAws, folder: Path, line: CommandLine, **options: Any
) -> tuple[Verification, list[str]]:
    """A run, and what it will say."""

    def connect(name: str) -> RemoteJob:
        with exported(aws.environment()):
            return RemoteJob.connect(name, session=boto3.Session())

    said: list[str] = []
    made = Verification(
        folder=folder,
        client=aws.client,
        command=line,
        connect=connect,
        say=said.append,
        patience_s=PATIENCE_S,
        name=NAME,
        **options,
    )
    return made, said


def put(aws: EmbeddedAws, *keys: str) -> str:
    bucket = aws.deployment.outputs[stack_name(NAME, Part.STORAGE)]["InputBucket"]
    for key in keys:
        for body in (b"1", b"2"):
            aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return bucket


def versions(aws: EmbeddedAws, bucket: str) -> list[Any]:
    listed = aws.client("s3").list_object_versions(Bucket=bucket)
    return [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]


def test_the_settings_are_those_that_are_tried_here() -> None:
    ours = parse(tomllib.loads(SETTINGS.read_text()))
    theirs = parse(tomllib.loads(THROWAWAY.format(name=NAME)))
    assert ours == theirs


@pytest.mark.exhaustive
def test_every_scenario_holds_and_is_paid_for(aws: EmbeddedAws, tmp_path: Path) -> None:
    worker = aws.start_worker()
    try:
        run, said = verification(aws, tmp_path, CommandLine(aws))
        run.run()
    finally:
        worker.kill()
        worker.wait()

    passed = [line for line in said if line.startswith("passed: ")]
    assert len(passed) == len(ALL), said
    (bill,) = [line for line in said if line.startswith("bill: ")]
    assert "by their receipts" in bill


def broken(_: Target) -> None:
    raise ZeroDivisionError("a scenario with a fault")


@pytest.mark.exhaustive
@pytest.mark.parametrize("deploying", [0, 6])
def test_everything_is_removed_whatever_fails(
    aws: EmbeddedAws, tmp_path: Path, deploying: int
) -> None:
    bucket = put(aws, "photos/a.txt", "photos/b.txt")
    line = CommandLine(aws, deploying=deploying)
    run, _ = verification(aws, tmp_path, line, scenarios=(broken,))

    assert not run.run()

    assert versions(aws, bucket) == []
    destroyed = line.asked[-1]
    assert destroyed[:4] == ("cdk", "destroy", "--all", "--force")
    assert "remotejob:stage=development" in destroyed
    assert list(tmp_path.iterdir()) == []
    reason = "a scenario with a fault" if deploying == 0 else "deploy ended with 6"
    assert any(reason in failure for failure in run.failures)


@pytest.mark.exhaustive
def test_ctrl_c_removes_everything_too(aws: EmbeddedAws, tmp_path: Path) -> None:
    def interrupted(_: Target) -> None:
        raise KeyboardInterrupt

    line = CommandLine(aws)
    with pytest.raises(KeyboardInterrupt):
        verification(aws, tmp_path, line, scenarios=(interrupted,))[0].run()
    assert line.asked[-1][:2] == ("cdk", "destroy")


@pytest.mark.exhaustive
def test_what_could_not_be_removed_is_said(aws: EmbeddedAws, tmp_path: Path) -> None:
    run, said = verification(aws, tmp_path, CommandLine(aws, destroying=1), scenarios=())

    assert not run.run()

    (left,) = [line for line in said if line.startswith("NOT REMOVED")]
    assert all(stack_name(NAME, part) in left for part in Part)


@pytest.mark.exhaustive
def test_a_bucket_is_emptied_of_all_versions_and_markers(aws: EmbeddedAws) -> None:
    bucket = put(aws, *(f"{number}.txt" for number in range(5)))
    aws.client("s3").delete_object(Bucket=bucket, Key="1.txt")
    assert len(versions(aws, bucket)) == 11
    empty(aws.client("s3"), bucket)
    assert versions(aws, bucket) == []


@pytest.mark.parametrize("word", [None, "yes", "yes-in-account-999999999999"])
def test_nothing_is_done_unless_somebody_agreed_to_this_account(word: str | None) -> None:
    environment = {} if word is None else {AGREED: word}
    refused = refusal("123456789012", environment)
    assert refused is not None
    assert "VERIFY_AWS=yes-in-account-123456789012 make verify-aws" in refused
    assert refusal("123456789012", {AGREED: "yes-in-account-123456789012"}) is None


@pytest.mark.exhaustive
def test_the_command_refuses_before_it_makes_anything(aws: EmbeddedAws) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "verify"],
        cwd=ROOT,
        env={**kept, **aws.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("nothing was done: this deploys a throw-away system")
