"""What our signer signs, botocore's signs alike: it is the reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from remotejob.backends.aws.direct import DYNAMODB, SQS, Api
from remotejob.backends.aws.signing import Signer

HOST = "dynamodb.eu-west-1.amazonaws.com"
NOW = datetime(2026, 11, 22, 23, 59, 58, tzinfo=UTC)


class Keys(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


def of_botocore(
    keys: Keys, service: str, headers: dict[str, str], body: bytes, now: datetime, host: str
) -> dict[str, str]:
    """The same request, signed by botocore at that time."""
    request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
    with patch("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None)):
        SigV4Auth(ReadOnlyCredentials(*keys), service, "eu-west-1").add_auth(request)
    return dict(request.headers.items())


words = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789/+=-_. ", min_size=1).map(str.strip)


@given(
    keys=st.builds(
        Keys,
        st.text("ABCDEFGHIJ0123456789", min_size=16, max_size=20),
        st.text("abcXYZ0123/+", min_size=40, max_size=40),
        st.none() | st.text("abcXYZ0123/+=", min_size=1, max_size=400),
    ),
    api=st.sampled_from([DYNAMODB, SQS]),
    operation=st.sampled_from(["UpdateItem", "ReceiveMessage", "Query"]),
    agent=words.filter(bool),
    body=st.binary(max_size=2000),
    port=st.sampled_from(["", ":8000"]),
)
def test_it_signs_as_botocore_does(
    keys: Keys, api: Api, operation: str, agent: str, body: bytes, port: str
) -> None:
    headers = {
        **api.headers, "User-Agent": agent, "X-Amz-Target": f"{api.target}.{operation}",
    }  # fmt: skip
    host = HOST + port
    signer = Signer(keys, service=api.service, region="eu-west-1", host=host)

    signed = signer.signed(headers, body, now=NOW)

    assert signed == of_botocore(keys, api.service, headers, body, NOW, host)


def test_each_day_has_a_key_of_its_own() -> None:
    keys = Keys("AKID", "secret", None)
    signer = Signer(keys, service="sqs", region="eu-west-1", host=HOST)
    for seconds in (0, 1, 2, 86_400):
        now = NOW + timedelta(seconds=seconds)
        signed = signer.signed(SQS.headers, b"{}", now=now)
        assert signed == of_botocore(keys, "sqs", dict(SQS.headers), b"{}", now, HOST)


@pytest.mark.parametrize("changed", ["body", "target", "secret"])
def test_what_is_changed_has_another_signature(changed: str) -> None:
    def signed(secret: str, target: str, body: bytes) -> Any:
        signer = Signer(Keys("A", secret, None), service="sqs", region="eu-west-1", host=HOST)
        return signer.signed({"X-Amz-Target": target}, body, now=NOW)["Authorization"]

    plain = signed("secret", "a", b"1")
    other = {
        "body": signed("secret", "a", b"2"),
        "target": signed("secret", "b", b"1"),
        "secret": signed("other", "a", b"1"),
    }
    assert other[changed] != plain
