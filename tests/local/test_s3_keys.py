"""Keys of any characters work in the embedded S3 as they do in AWS's."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from remotejob.backends.aws.account import Account
from remotejob.backends.aws.files import S3Files
from remotejob.local.embedded import EmbeddedAws
from remotejob.ports import Area
from remotejob.testing import FakeClock
from tests.backends.test_objects import nobody

ODD = [
    "new\nline.txt", "a\r\nb.txt", "\nfirst", "last\n", "\n", "tab\t.txt", "delete\x7f.txt",
    "c1\x85.txt", "line\u2028separator", "\u202eright to left", "back\\slash", "plus+and space",
    "per%41cent%2F.txt", "%", "trailing/", "a//b", "//", "a/../b", "..", ".", "./a/.", "q?x=1#y",
    "&amp;<xml>", "quote\"'", "{a}[b]", "grüße/文件😀.png", "e\u0301", " ", "x" * 900,
]  # fmt: skip
CONTROLS = ["null\x00.txt", "one\x01\x1f.txt", "\ufffe"]
"""Characters that no XML has."""


@pytest.fixture
def s3(aws: EmbeddedAws) -> Any:
    return aws.client("s3")


@pytest.fixture
def bucket(aws: EmbeddedAws, s3: Any) -> str:
    """A bucket of one's own, with versions."""
    name = f"keys-{uuid4()}"
    where = {"LocationConstraint": aws.environment()["AWS_REGION"]}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def listed(s3: Any, bucket: str, **options: str) -> list[str]:
    found = s3.list_objects_v2(Bucket=bucket, **options).get("Contents", [])
    return [one["Key"] for one in found]


@pytest.mark.parametrize("key", ODD + CONTROLS)
def test_object_of_any_key_is_put_read_listed_and_copied(s3: Any, bucket: str, key: str) -> None:
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"content")["VersionId"]

    for which in ({}, {"VersionId": version}):
        assert s3.get_object(Bucket=bucket, Key=key, **which)["Body"].read() == b"content"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 7
    assert listed(s3, bucket) == listed(s3, bucket, Prefix=key) == [key]
    (one,) = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert (one["Key"], one["VersionId"]) == (key, version)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"content"


@pytest.mark.parametrize("key", ODD)
def test_object_of_any_key_is_uploaded_in_parts(s3: Any, bucket: str, key: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)
    about = {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}
    etag = s3.upload_part(**about, PartNumber=1, Body=b"content")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}

    s3.complete_multipart_upload(**about, MultipartUpload=parts)

    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"content"


@pytest.mark.parametrize("key", ODD + CONTROLS)
def test_file_of_any_key_is_put_read_and_deleted_by_the_library(
    aws: EmbeddedAws, bucket: str, s3: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    direct = Account(boto3.Session()).objects([bucket], clock=FakeClock())
    stored = S3Files(nobody, {Area.INPUT: bucket}, direct=direct).put(Area.INPUT, key, b"content")
    files = S3Files(lambda: s3, {Area.INPUT: bucket}, direct=direct)

    assert files.open(bucket, key, version=stored.version).read() == b"content"
    assert files.describe(Area.INPUT, key).size == 7
    files.delete(Area.INPUT, ["another", key])

    assert list(files.keys(Area.INPUT, "")) == []


def test_list_to_delete_that_is_no_xml_is_refused(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": CONTROLS[0]}]})
