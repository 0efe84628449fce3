"""Secrets reach a worker through its execution role, and nothing else reads them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.local import injection
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import SecretNotRead
from remotejob.local.secret_values import SecretValues

ELSEWHERE = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod-secret-AbCdEf"
VERSION = "2012-10-17"
Read = Callable[..., dict[str, str]]


def role(aws: EmbeddedAws, *allowed: tuple[str, str], trusted: dict[str, str]) -> str:
    """The ARN of a new role."""
    name = f"r-{uuid.uuid4().hex[:12]}"
    trust = {"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}
    iam = aws.client("iam")
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": VERSION, "Statement": [trust]}),
    )
    statements = [{"Effect": "Allow", "Action": a, "Resource": r} for a, r in allowed]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": VERSION, "Statement": statements}),
    )
    return str(made["Role"]["Arn"])


@pytest.fixture
def read(aws: EmbeddedAws) -> Read:
    """Read secrets as the agent of a task whose execution role may do just that."""

    def read(secrets: dict[str, str], *allowed: tuple[str, str]) -> dict[str, str]:
        return injection.read(
            secrets,
            role_arn=role(aws, *allowed, trusted={"Service": "ecs-tasks.amazonaws.com"}),
            session="agent",
            control=aws._control,
            region=aws.region,
        )

    return read


@pytest.fixture
def here(aws: EmbeddedAws) -> str:
    return f"{aws.region}:{aws.deployment.account}"


def test_what_was_put_is_read_whole_or_by_key(aws: EmbeddedAws, read: Read, here: str) -> None:
    values = SecretValues(
        parameters={"/in/key": "old"}, secrets={"in/db": '{"n": 1, "p": "x"}', ELSEWHERE: "far"}
    )
    for again in (values, SecretValues(parameters={"/in/key": "k"}, secrets=values.secrets)):
        again.put(aws.client)
    parameter = f"arn:aws:ssm:{here}:parameter/in/key"
    secret = f"arn:aws:secretsmanager:{here}:secret:in/db"

    found = read(
        {"K": parameter, "N": f"{secret}:n::", "P": f"{secret}:p::", "W": secret, "E": ELSEWHERE},
        ("ssm:GetParameters", parameter),
        ("secretsmanager:GetSecretValue", f"{secret}-??????"),
        ("secretsmanager:GetSecretValue", ELSEWHERE),
    )

    assert found == {"K": "k", "N": "1", "P": "x", "W": '{"n": 1, "p": "x"}', "E": "far"}


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("arn:aws:ssm:{here}:parameter/in/none", "there is no parameter arn:"),
        ("arn:aws:secretsmanager:{here}:secret:in/none", "ResourceNotFoundException"),
        ("arn:aws:secretsmanager:{here}:secret:in/text:key::", "no JSON object with the key 'key'"),
    ],
)
def test_what_is_not_there_starts_no_worker(
    aws: EmbeddedAws, read: Read, here: str, place: str, told: str
) -> None:
    SecretValues(parameters={}, secrets={"in/text": "plain"}).put(aws.client)
    everything = (("ssm:*", "*"), ("secretsmanager:*", "*"))
    with pytest.raises(SecretNotRead, match="A: ECS would start no worker") as refused:
        read({"A": place.format(here=here)}, *everything)
    assert told in str(refused.value)


def test_a_policy_on_one_secret_is_none_on_another(aws: EmbeddedAws, read: Read, here: str) -> None:
    SecretValues(parameters={}, secrets={"in/a": "a", "in/ab": "b"}).put(aws.client)
    prefix = f"arn:aws:secretsmanager:{here}:secret:in"

    with pytest.raises(SecretNotRead, match="AccessDeniedException"):
        read({"A": f"{prefix}/ab"}, ("secretsmanager:GetSecretValue", f"{prefix}/a-??????"))


def test_a_permission_on_somebody_elses_secret_reads_none_of_this_account(
    aws: EmbeddedAws, here: str
) -> None:
    SecretValues(parameters={}, secrets={"in/own": "own"}).put(aws.client)
    foreign = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"
    account = {"AWS": f"arn:aws:iam::{aws.deployment.account}:root"}
    reader = role(aws, ("secretsmanager:GetSecretValue", f"{foreign}*"), trusted=account)
    client: Any = aws.client_as(reader, "secretsmanager")

    for asked in (f"{foreign}in/own", "in/own", f"arn:aws:secretsmanager:{here}:secret:in/own"):
        with pytest.raises(ClientError):
            client.get_secret_value(SecretId=asked)
