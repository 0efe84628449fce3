"""From a system's name to its ports, and what is said when there is no way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from remotejob import AccessProblem, RemoteJob, RemoteJobError, SettingsError, SystemNotFound
from remotejob.backends.aws import from_environment
from remotejob.names import Env, QueueKey, system_parameter
from remotejob.ports import Channel
from tests.aws import REGION

DESCRIPTION: dict[str, Any] = {
    "version": 1,
    "name": "photos",
    "table": "table",
    "input_bucket": "in",
    "output_bucket": "out",
    "lease_seconds": 90,
    "retention_days": 20,
    "queues": {
        "default": {
            QueueKey.TASKS: ["thumbnail"],
            **{channel.value: f"https://sqs/{channel}" for channel in Channel},
        }
    },
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No profile, no configuration, nothing on this machine to find credentials with."""
    for name in (Env.SYSTEM, "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with mock_aws():
        yield


@pytest.fixture
def session() -> boto3.Session:
    return boto3.Session(region_name=REGION)


def _deploy(session: boto3.Session, text: str, *, name: str = "photos") -> None:
    session.client("ssm").put_parameter(Name=system_parameter(name), Value=text, Type="String")


def _one_line(problem: RemoteJobError, *parts: str) -> None:
    message = str(problem)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_a_deployed_system_is_found_by_its_name(session: boto3.Session) -> None:
    _deploy(session, json.dumps(DESCRIPTION))

    system = RemoteJob.connect("photos", session=session)

    assert (system.name, system.queues) == ("photos", ("default",))
    assert system.queue().tasks == ("thumbnail",)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"REMOTEJOB_NAME": "photos"}, "photos"),
        ({"REMOTEJOB_NAME": ""}, "default"),
        ({}, "default"),
    ],
)
def test_without_a_name_it_is_that_of_the_environment_or_the_default_one(
    session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    name: str,
) -> None:
    for deployed in ("photos", "default"):
        _deploy(session, json.dumps({**DESCRIPTION, "name": deployed}), name=deployed)
    monkeypatch.delenv("REMOTEJOB_NAME", raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    assert RemoteJob.connect(session=session).name == name
    assert RemoteJob.connect("default", session=session).name == "default"


def test_a_system_that_is_not_deployed_says_so_and_what_to_do(session: boto3.Session) -> None:
    with pytest.raises(SystemNotFound) as problem:
        RemoteJob.connect("photos", session=session)
    _one_line(problem.value, "'photos'", REGION, "/remotejob/photos", "make deploy")


def test_without_credentials_it_says_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as bare:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            bare.delenv(name, raising=False)
        session = boto3.Session(region_name=REGION)
        with pytest.raises(AccessProblem) as problem:
            RemoteJob.connect("photos", session=session)
    _one_line(problem.value, "no AWS credentials", "AWS_PROFILE", "remotejob local")


def test_without_a_region_it_says_how_to_give_one() -> None:
    with pytest.raises(AccessProblem) as problem:
        RemoteJob.connect("photos")
    _one_line(problem.value, "no AWS region", "AWS_REGION")


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "{}",
        json.dumps({**DESCRIPTION, "version": 2}),
        json.dumps({**DESCRIPTION, "queues": {"default": {"tasks": []}}}),
        json.dumps({**DESCRIPTION, "lease_seconds": "soon"}),
    ],
    ids=["text", "a list", "empty", "later version", "no URLs", "a word for a number"],
)
def test_a_description_it_does_not_understand_says_where_it_is(
    session: boto3.Session, text: str
) -> None:
    _deploy(session, text)
    with pytest.raises(SettingsError) as problem:
        RemoteJob.connect("photos", session=session)
    _one_line(problem.value, "SSM parameter /remotejob/photos", "deploy again")


def test_inside_a_worker_the_environment_describes_the_system(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Env.SYSTEM, json.dumps(DESCRIPTION))
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)

    # there is no parameter: it would be said
    assert RemoteJob.connect("photos", session=session).name == "photos"
    installation = from_environment()
    assert installation.lease.total_seconds() == 90
    assert installation.retention.days == 20


def test_another_system_than_the_environments_is_looked_up(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Env.SYSTEM, json.dumps(DESCRIPTION))
    with pytest.raises(SystemNotFound, match="'other'"):
        RemoteJob.connect("other", session=session)


def test_a_worker_without_a_description_does_not_start() -> None:
    with pytest.raises(SettingsError) as problem:
        from_environment()
    _one_line(problem.value, Env.SYSTEM, "not set", "remotejob local")
