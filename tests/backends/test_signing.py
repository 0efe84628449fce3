"""What our signer signs, botocore's signs alike: it is the reference."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from remotejob.backends.aws.direct.signing import BODY_HASH, Signer
from remotejob.backends.aws.service import DYNAMODB, SQS, Api

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


@given(
    method=st.sampled_from(["GET", "PUT"]),
    key=st.text(min_size=1, max_size=60).filter(lambda key: not re.search("[\ud800-\udfff]", key)),
    version=st.none() | st.text("abcXYZ019._-", min_size=1, max_size=32),
    metadata=st.dictionaries(
        st.text("abcdef-", min_size=1).map(lambda name: f"x-amz-meta-{name}"),
        st.text("abcXYZ019+/=%", min_size=1),
        max_size=3,
    ),
    body=st.binary(max_size=2000),
    token=st.none() | st.just("token"),
)
def test_it_signs_for_files_as_botocore_does(
    method: str,
    key: str,
    version: str | None,
    metadata: dict[str, str],
    body: bytes,
    token: str | None,
) -> None:
    host, keys = "bucket.s3.eu-west-1.amazonaws.com", Keys("AKID", "secret", token)
    target = f"/{quote(key)}"
    if version is not None:
        target += f"?versionId={quote(version, safe='')}"
    headers = {BODY_HASH: sha256(body).hexdigest(), **metadata}
    signer = Signer(keys, service="s3", region="eu-west-1", host=host)

    signed = signer.signed(headers, body, method=method, target=target, now=NOW)

    request = AWSRequest(method, f"https://{host}{target}", headers=headers, data=body)
    request.context["payload_signing_enabled"] = True
    with patch("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        S3SigV4Auth(ReadOnlyCredentials(*keys), "s3", "eu-west-1").add_auth(request)
    assert signed["Authorization"] == request.headers["Authorization"]


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
