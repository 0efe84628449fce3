"""The real stacks in an embedded AWS, and somebody in each permission group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from remotejob import Queue, RemoteJob
from remotejob.cdk.commands import Group
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Env, Part, stack_name
from tests.deployed import deployed, exported

SETTINGS = Path(__file__).with_name("remotejob.toml")
SYSTEM = "groups"


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody with the policies of some groups, and nothing else."""

    session: boto3.Session
    system: RemoteJob

    @property
    def queue(self) -> Queue:
        return self.system.queue()


NewPerson = Callable[..., Person]


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS) as embedded:
        yield embedded


@pytest.fixture(autouse=True)
def _exported(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(Env.SYSTEM, raising=False)


@pytest.fixture(scope="session")
def new_person(aws: EmbeddedAws) -> NewPerson:
    """Make a user, attach the policies the stack's outputs name, and connect as that user."""
    outputs = aws.deployment.outputs[stack_name(SYSTEM, Part.STORAGE)]
    iam = aws.client("iam")

    def make(*groups: Group) -> Person:
        name = "-".join(["of", *groups]) if groups else "nobody"
        iam.create_user(UserName=name)
        for group in groups:
            iam.attach_user_policy(UserName=name, PolicyArn=outputs[f"{group.value.title()}Policy"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        session = boto3.Session(
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            region_name=aws.region,
        )
        return Person(session=session, system=RemoteJob.connect(SYSTEM, session=session))

    return make


@pytest.fixture(scope="session")
def people(aws: EmbeddedAws, new_person: NewPerson) -> dict[Group, Person]:
    with exported(aws.environment()):
        return {group: new_person(group) for group in Group}


@pytest.fixture
def admin(people: dict[Group, Person]) -> Person:
    return people[Group.ADMIN]
