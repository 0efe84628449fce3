"""A body that breaks off is an error, never a shorter file."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from remotejob.backends.aws import S3Files
from remotejob.backends.aws.account import Account
from remotejob.ports import Area
from remotejob.testing import FakeClock

LENGTH = 10_000
SENT = b"a line of it\n" * 150


class _HangsUp(socketserver.StreamRequestHandler):
    """Promises a body, sends a part of it, and closes the connection."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (LENGTH, SENT)
        )


@pytest.fixture(params=["direct", "boto3"])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Files]:
    with socketserver.TCPServer(("127.0.0.1", 0), _HangsUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            region_name="eu-west-1",
            config=Config(retries={"max_attempts": 0}),
        )
        direct = None
        if request.param == "direct":
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            account = Account(boto3.Session("a", "b", region_name="eu-west-1"))
            direct = account.objects(["bucket"], clock=FakeClock())
        yield S3Files(lambda: client, {Area.INPUT: "bucket"}, direct=direct)
        client.close()
        server.shutdown()
        thread.join()


def test_lines_of_a_body_that_breaks_off_raise(files: S3Files) -> None:
    with files.open("bucket", "key") as stream, pytest.raises(ConnectionError, match="broke off"):
        list(stream)


def test_parts_of_a_body_that_breaks_off_raise(files: S3Files) -> None:
    with files.open("bucket", "key") as stream, pytest.raises(ConnectionError, match="broke off"):
        list(iter(lambda: stream.read(512), b""))


def test_a_download_that_breaks_off_each_time_raises_and_leaves_nothing(
    files: S3Files, tmp_path: Path
) -> None:
    with pytest.raises(ConnectionError, match="broke off"):
        files.download("bucket", "key", tmp_path / "file")

    assert list(tmp_path.iterdir()) == []
