"""Files asked for without boto3's client: as it would, and by it where all is not well."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from remotejob.backends.aws import S3Files
from remotejob.backends.aws.account import Account
from remotejob.ports import Area, Stored
from remotejob.testing import FakeClock
from tests.aws import BUCKETS, TRANSPORTS, aws_installation, clients, session
from tests.backends.test_connections import peer

KEYS = [
    "plain.txt",
    "a folder/two  spaces.txt",
    "plus+and&or=?#percent%41.txt",
    "//two/./slashes/../and-dots",
    "grüße/文件.png",
    "tilde~star*quote'(brackets)!",
]
URL = "http://127.0.0.1:9/"


def nobody() -> Any:
    raise AssertionError("boto3's client was asked")


def without_boto3() -> S3Files:
    direct = Account(session()).objects(BUCKETS.values(), clock=FakeClock())
    assert direct is not None
    return S3Files(nobody, BUCKETS, direct=direct)


def with_boto3() -> S3Files:
    direct = Account(session()).objects(BUCKETS.values(), clock=FakeClock())
    return S3Files(lambda: clients().s3, BUCKETS, direct=direct)


@pytest.fixture(autouse=True)
def _s3() -> Iterator[None]:
    with aws_installation():
        yield


@dataclass
class Seen:
    """The requests that went by."""

    requests: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    """What the next ones are answered in the place of AWS: a response, or an error to raise."""

    def __call__(self, request: Any, **_: object) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def watched(events: Any) -> Iterator[Seen]:
    seen = Seen()
    events.register_first("before-send.s3", seen, unique_id="seen")
    try:
        yield seen
    finally:
        events.unregister("before-send.s3", unique_id="seen")


@contextmanager
def both() -> Iterator[tuple[Seen, Seen]]:
    """What is asked directly, and what by boto3's client."""
    with watched(session().events) as direct, watched(clients().s3.meta.events) as boto3s:
        yield direct, boto3s


@pytest.mark.parametrize("key", KEYS)
def test_a_file_is_put_as_boto3_puts_it(key: str) -> None:
    def put(files: S3Files) -> Stored:
        metadata = {"by": "Jörg & co"}
        return files.put(Area.OUTPUT, key, b"content", content_type="text/plain", metadata=metadata)

    with both() as (direct, boto3s):
        stored = put(without_boto3())
        assert put(S3Files(lambda: clients().s3, BUCKETS)) == stored

    (ours,), (theirs,) = direct.requests, boto3s.requests
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    for name in ("Content-Type", "x-amz-meta-by"):
        assert ours.headers[name] == theirs.headers[name].decode()
    # over a connection that is secure boto3 sends it after the body
    assert ours.headers["x-amz-checksum-crc32"] == crc(b"content")
    found = clients().s3.get_object(Bucket=stored.bucket, Key=key)
    assert found["Body"].read() == b"content"
    assert without_boto3().open(stored.bucket, key).read() == b"content"


@pytest.mark.parametrize("key", KEYS)
def test_a_file_is_asked_for_where_boto3_asks_for_it(key: str) -> None:
    bucket = BUCKETS[Area.INPUT]
    stored = clients().s3.put_object(Bucket=bucket, Key=key, Body=b"old")
    clients().s3.put_object(Bucket=bucket, Key=key, Body=b"new")
    version = stored["VersionId"]

    with both() as (direct, boto3s):
        old = without_boto3().open(bucket, key, version=version).read()
        new = without_boto3().open(bucket, key).read()
        clients().s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        clients().s3.get_object(Bucket=bucket, Key=key)

    assert (old, new) == (b"old", b"new")
    assert [request.url for request in direct.requests] == [
        request.url for request in boto3s.requests
    ]


def test_what_is_streamed_is_put_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"header,rest")
    with (tmp_path / "file").open("rb") as file:
        file.seek(7)
        stored = without_boto3().put(Area.OUTPUT, "key", file)

    assert stored.size == 4
    to = tmp_path / "copy"
    without_boto3().download(stored.bucket, "key", to)
    assert to.read_bytes() == b"rest"


class Raw(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.getvalue()


def answered(status: int, body: bytes = b"", **headers: str) -> AWSResponse:
    told = HTTPHeaders()
    for name, value in headers.items():
        told[name] = value
    return AWSResponse(URL, status, told, Raw(body))


PROBLEMS = {
    "refused": answered(403, b"<Error><Code>AccessDenied</Code></Error>"),
    "elsewhere": answered(301, b"<Error><Code>PermanentRedirect</Code></Error>"),
    "busy": answered(503, b"<Error><Code>SlowDown</Code></Error>"),
    "silent": ReadTimeoutError(endpoint_url=URL),
    "out of reach": EndpointConnectionError(endpoint_url=URL),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))
def test_what_is_not_plainly_well_is_asked_of_boto3_once_more(problem: Any) -> None:
    files = with_boto3()
    with both() as (direct, boto3s):
        direct.answers = [problem]
        stored = files.put(Area.OUTPUT, "key", io.BytesIO(b"content"), content_type="text/plain")
        assert (len(direct.requests), len(boto3s.requests)) == (1, 1)
        direct.answers = [problem]
        content = files.open(stored.bucket, "key").read()
        assert (len(direct.requests), len(boto3s.requests)) == (2, 2)

    assert (stored.size, content) == (7, b"content")


@pytest.mark.parametrize("told", [answered(202, ETag='"e"'), answered(200)], ids=["202", "no etag"])
def test_a_put_that_does_not_plainly_say_what_it_made_is_repeated_by_boto3(told: Any) -> None:
    with both() as (direct, boto3s):
        direct.answers = [told]
        stored = with_boto3().put(Area.OUTPUT, "key", b"content")

    assert (len(direct.requests), len(boto3s.requests)) == (1, 1)
    assert stored.etag != "e"


def test_a_connection_closed_at_that_moment_is_tried_once_again() -> None:
    closed = ConnectionClosedError(endpoint_url=URL)
    with both() as (direct, _):
        direct.answers = [closed]
        stored = without_boto3().put(Area.OUTPUT, "key", b"content")
        direct.answers = [closed]
        assert without_boto3().open(stored.bucket, "key").read() == b"content"
        assert len(direct.requests) == 4

    with both() as (direct, boto3s):
        direct.answers = [closed, closed]
        assert with_boto3().open(stored.bucket, "key").read() == b"content"
        assert (len(direct.requests), len(boto3s.requests)) == (2, 1)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"x" * (1024 * 1024 + 1), None),
        (io.BytesIO(b"x" * (1024 * 1024 + 1)), None),
        (b"x", "text/plain;  charset=utf-8"),
    ],
    ids=["long bytes", "a long stream", "a header that is not signed as it stands"],
)
def test_what_boto3_does_better_is_left_to_it(body: Any, content_type: str | None) -> None:
    with both() as (direct, boto3s):
        with_boto3().put(Area.OUTPUT, "key", body, content_type=content_type)

    assert (len(direct.requests), len(boto3s.requests)) == (0, 1)


def test_a_bucket_that_is_not_the_systems_is_asked_for_by_boto3() -> None:
    clients().s3.create_bucket(
        Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    clients().s3.put_object(Bucket="elsewhere", Key="key", Body=b"content")

    with both() as (direct, _):
        assert with_boto3().open("elsewhere", "key").read() == b"content"

    assert direct.requests == []


# --- over real sockets ----------------------------------------------------------------------------


def answer(content: bytes, **headers: str) -> bytes:
    lines = {"Content-Length": str(len(content)), "ETag": '"e"'}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + content


def crc(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def files_at(url: str, monkeypatch: pytest.MonkeyPatch) -> S3Files:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    account = Account(boto3.Session("id", "secret", region_name="eu-west-1"))
    direct = account.objects(BUCKETS.values(), clock=FakeClock())
    return S3Files(nobody, BUCKETS, direct=direct)


BUCKET = BUCKETS[Area.INPUT]


def test_a_connection_whose_file_was_read_carries_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answer(b"one"), answer(b""), answer(b"two"), answer(b"")) as s3:
        files = files_at(s3.url, monkeypatch)
        contents = []
        for key in ("one", "empty", "two"):
            with files.open(BUCKET, key) as body:
                contents.append(body.read())
        files.put(Area.OUTPUT, "key", b"out")

    assert contents == [b"one", b"", b"two"]
    assert s3.connections == 1
    assert s3.bodies[-1] == b"out"


@pytest.mark.parametrize("content", [b"x" * 100_000, b"read ahead"], ids=["long", "short"])
def test_a_connection_whose_file_was_not_read_is_gone(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    with peer(answer(content), answer(b"two")) as s3:
        files = files_at(s3.url, monkeypatch)
        files.open(BUCKET, "one").close()
        assert files.open(BUCKET, "two").read() == b"two"

    assert s3.connections == 2


def checksum(name: str, content: bytes) -> str:
    if name == "crc32":
        return crc(content)
    return base64.b64encode(hashlib.new(name, content).digest()).decode()


@pytest.mark.parametrize("name", ["crc32", "sha1", "sha256"])
def test_whichever_checksum_it_was_stored_with_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    told = {f"x_amz_checksum_{name}": checksum(name, b"content")}
    with peer(answer(b"content", **told), answer(b"cOntent", **told)) as s3:
        files = files_at(s3.url, monkeypatch)
        with files.open(BUCKET, "key") as body:
            assert body.read() == b"content"
        with files.open(BUCKET, "key") as body, pytest.raises(ConnectionError, match="damaged"):
            body.read()


def test_harm_is_seen_by_who_reads_as_much_as_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    harmed = answer(b"cOntent", x_amz_checksum_crc32=crc(b"content"))
    with (
        peer(harmed) as s3,
        files_at(s3.url, monkeypatch).open(BUCKET, "key") as body,
        pytest.raises(ConnectionError, match="damaged"),
    ):
        body.read(len(b"content"))


def test_no_name_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answer(b"a listing"), answer(b"")) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
        direct = Account(session()).objects(BUCKETS.values(), clock=FakeClock())
        assert direct is not None

        # where the bucket itself would be asked for, boto3 refuses
        assert direct.get(BUCKET, "", version=None) is None
        assert direct.put(BUCKET, "", b"", content_type=None, metadata={}) is None

    assert s3.heads == []


@pytest.mark.parametrize("kind", ["FULL_OBJECT", None])
def test_a_file_that_came_to_harm_is_an_error(
    monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    more = {} if kind is None else {"x_amz_checksum_type": kind}
    harmed = answer(b"cOntent", x_amz_checksum_crc32=crc(b"content"), **more)
    sound = answer(b"content", x_amz_checksum_crc32=crc(b"content"), **more)
    with peer(harmed, sound, harmed) as s3:
        files = files_at(s3.url, monkeypatch)
        with files.open(BUCKET, "key") as body, pytest.raises(ConnectionError, match="damaged"):
            body.read()
        with files.open(BUCKET, "key") as body:
            assert body.read() == b"content"
        with files.open(BUCKET, "key") as body, pytest.raises(ConnectionError, match="damaged"):
            list(iter(lambda: body.read(3), b""))


@pytest.mark.parametrize(
    "told",
    [
        {"x_amz_checksum_crc32": crc(b"parts"), "x_amz_checksum_type": "COMPOSITE"},
        {"x_amz_checksum_crc32": f"{crc(b'parts')}-2"},
    ],
    ids=["said to be", "of two parts"],
)
def test_the_checksum_of_parts_is_not_that_of_the_file(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    with peer(answer(b"content", **told)) as s3:
        assert files_at(s3.url, monkeypatch).open(BUCKET, "key").read() == b"content"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_damaged_download_begins_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    harmed = answer(b"cOntent", x_amz_checksum_crc32=crc(b"content"))
    with peer(harmed, answer(b"content", x_amz_checksum_crc32=crc(b"content"))) as s3:
        files = files_at(s3.url, monkeypatch)
        if transport == "boto3":
            files = S3Files(Account(session()).s3, BUCKETS)
        files.download(BUCKET, "key", tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == b"content"
