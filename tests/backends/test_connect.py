"""From a system's name to its ports, and what is said when there is no way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from remotejob import AccessProblem, RemoteJob, RemoteJobError, SettingsError, SystemNotFound
from remotejob.backends.aws import from_environment
from remotejob.backends.aws.account import DEFAULT_POLICY, Account
from remotejob.backends.aws.deployed_queues import LOOK_AGAIN, DeployedQueues
from remotejob.backends.aws.system_description import DescribedQueue
from remotejob.backends.clock import SystemClock
from remotejob.names import Env, QueueKey, queue_parameter, queues_path, system_parameter
from remotejob.ports import QUEUE_CHANNELS, Address, Channel
from remotejob.testing import FakeClock
from tests.aws import REGION

DESCRIPTION: dict[str, Any] = {
    "version": 1,
    "name": "photos",
    "table": "table",
    "input_bucket": "in",
    "output_bucket": "out",
    "lease_seconds": 90,
    "retention_days": 20,
}
QUEUE: dict[str, Any] = {
    QueueKey.TASKS: ["thumbnail"],
    **{channel.value: f"https://sqs/{channel}" for channel in Channel},
}
OF_A_WORKER: dict[str, Any] = {**DESCRIPTION, "queues": {"default": QUEUE}}


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
    ssm = session.client("ssm")
    ssm.put_parameter(Name=system_parameter(name), Value=text, Type="String", Overwrite=True)
    _deploy_queue(session, "default", system=name)


def _deploy_queue(
    session: boto3.Session, name: str, text: str = json.dumps(QUEUE), *, system: str = "photos"
) -> None:
    session.client("ssm").put_parameter(
        Name=queue_parameter(system, name), Value=text, Type="String", Overwrite=True
    )


def _one_line(problem: RemoteJobError, *parts: str) -> None:
    message = str(problem)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_a_deployed_system_is_found_by_its_name(session: boto3.Session) -> None:
    _deploy(session, json.dumps(DESCRIPTION))

    system = RemoteJob.connect("photos", session=session)

    assert (system.name, system.queues) == ("photos", ("default",))
    assert system.queue().tasks == ("thumbnail",)
    assert system.region == session.region_name


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


def test_credentials_are_those_of_the_session() -> None:
    account = Account(boto3.Session("a-key", "a-secret", region_name=REGION))

    client = account.client("s3", DEFAULT_POLICY)
    assert account._credentials.access_key == "a-key"
    assert client._request_signer._credentials.access_key == "a-key"


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
        json.dumps({**DESCRIPTION, "lease_seconds": "soon"}),
    ],
    ids=["text", "a list", "empty", "later version", "a word for a number"],
)
def test_a_description_it_does_not_understand_says_where_it_is(
    session: boto3.Session, text: str
) -> None:
    _deploy(session, text)
    with pytest.raises(SettingsError) as problem:
        RemoteJob.connect("photos", session=session)
    _one_line(problem.value, "SSM parameter /remotejob/photos", "deploy again")


def test_a_queue_that_it_does_not_understand_says_where_it_is(session: boto3.Session) -> None:
    _deploy(session, json.dumps(DESCRIPTION))
    _deploy_queue(session, "odd", json.dumps({"tasks": []}))
    with pytest.raises(SettingsError) as problem:
        RemoteJob.connect("photos", session=session)
    _one_line(problem.value, "SSM parameter /remotejob/photos/queues/odd", "deploy again")


def test_all_queues_are_found_however_many_they_are(session: boto3.Session) -> None:
    """SSM answers with ten at a time."""
    _deploy(session, json.dumps(DESCRIPTION))
    _deploy(session, json.dumps({**DESCRIPTION, "name": "photos-2"}), name="photos-2")
    names = {f"queue-{number}" for number in range(23)}
    for name in names:
        _deploy_queue(session, name)
    _deploy_queue(session, "of-another-system", system="photos-2")

    assert set(RemoteJob.connect("photos", session=session).queues) == {"default", *names}


class Lookups:
    """Counts the reads of the queues' descriptions, and may refuse them."""

    def __init__(self, session: boto3.Session) -> None:
        self.count = 0
        self.refuse = False
        client = session.client("ssm")

        def read() -> dict[str, DescribedQueue]:
            self.count += 1
            if self.refuse:
                raise AccessProblem("no rights")
            found = client.get_parameters_by_path(Path=queues_path("photos"))["Parameters"]
            return {
                name: DescribedQueue.from_json(one["Value"], name=name, origin="here")
                for one in found
                for name in [one["Name"].rpartition("/")[2]]
            }

        self.read = read


def test_a_queue_that_was_added_later_is_found(session: boto3.Session) -> None:
    clock, lookups = FakeClock(datetime(2026, 11, 30, tzinfo=UTC)), Lookups(session)
    queues = DeployedQueues({}, clock=clock, read=lookups.read)
    assert "late" not in queues
    _deploy_queue(session, "late")

    # not sooner: a misspelt name in each of a thousand jobs would be a thousand requests
    assert "late" not in queues
    assert lookups.count == 1
    clock.advance(LOOK_AGAIN)
    assert queues["late"].tasks == ("thumbnail",)
    assert queues.urls[Address("late", Channel.LOW)] == "https://sqs/low"
    assert list(queues) == ["late"]
    assert lookups.count == 2


def test_a_name_that_no_queue_can_have_is_not_looked_up(session: boto3.Session) -> None:
    lookups = Lookups(session)
    queues = DeployedQueues({}, clock=SystemClock(), read=lookups.read)
    assert [name for name in ("", "UPPER", "a/b", "x" * 32) if name in queues] == []
    assert lookups.count == 0


def test_a_worker_that_may_not_look_up_other_queues_knows_its_own(session: boto3.Session) -> None:
    lookups = Lookups(session)
    lookups.refuse = True
    own = DescribedQueue.from_json(json.dumps(QUEUE), name="default", origin="here")
    queues = DeployedQueues({"default": own}, clock=SystemClock(), read=lookups.read)
    assert "other" not in queues
    assert (list(queues), len(queues.urls)) == (["default"], len(QUEUE_CHANNELS))
    assert lookups.count == 1


def test_a_task_may_submit_to_another_queue_than_its_workers(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Env.SYSTEM, json.dumps(OF_A_WORKER))
    _deploy(session, json.dumps(DESCRIPTION))
    _deploy_queue(session, "other")

    system = RemoteJob.connect("photos", session=session)
    assert system.queues == ("default",)
    assert system.queue("other").tasks == ("thumbnail",)


def test_a_worker_knows_its_own_queue_and_a_function_all(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    _deploy(session, json.dumps(DESCRIPTION))
    _deploy_queue(session, "other")

    monkeypatch.setenv(Env.SYSTEM, json.dumps(OF_A_WORKER))
    worker = from_environment()
    assert (list(worker.queues), "other" in worker.queues) == (["default"], False)
    monkeypatch.setenv(Env.SYSTEM, json.dumps(DESCRIPTION))
    assert set(from_environment().queues) == {"default", "other"}


def test_inside_a_worker_the_environment_describes_the_system(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Env.SYSTEM, json.dumps(OF_A_WORKER))
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
