"""Files asked for without boto3's client: the embedded AWS checks their signatures."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.files import S3Files
from remotejob.local.embedded import EmbeddedAws
from remotejob.ports import Area
from remotejob.testing import FakeClock
from tests.backends.test_objects import KEYS, nobody
from tests.local.helpers import physical


@pytest.mark.parametrize("key", KEYS)
def test_a_file_of_any_name_is_put_and_read_over_http(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    bucket = physical(aws, "S3::Bucket", "Storage/Uploads")
    direct = Account(boto3.Session()).objects([bucket], clock=FakeClock())
    files = S3Files(nobody, {Area.INPUT: bucket}, direct=direct)

    stored = files.put(Area.INPUT, key, b"content", metadata={"from": "Zoë"})

    assert files.open(bucket, key, version=stored.version).read() == b"content"
    found: Any = aws.client("s3").get_object(Bucket=bucket, Key=key)
    assert found["Body"].read() == b"content"
    assert found["Metadata"] == {"from": "Zo%C3%AB"}
