"""The backends on AWS keep their promises on a second emulator, which shares no code with moto.

`make test-all` installs it. What differs is listed at the end of docs/aws-assumptions.md.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from remotejob import RemoteJob, RunningJob, State
from remotejob.backends.aws import DynamoStore, S3Files, SqsMessages
from remotejob.backends.aws.account import Account
from remotejob.backends.aws.service import DYNAMODB, SQS
from remotejob.backends.clock import SystemClock
from remotejob.ports import Area, Clock, Installation, JobStore, ObjectStore, WorkQueue
from remotejob.testing import Simulation
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from tests.aws import REGION, TABLE, made_queues, make_table
from tests.systems import installation_in_real_time

pytestmark = [pytest.mark.exhaustive, pytest.mark.xdist_group("ministack")]

ROOT: Final = Path(__file__).resolve().parents[2]
SERVER: Final = ROOT / ".tools" / "ministack" / "bin" / "ministack"
PATIENCE_S: Final = 60.0


class Second:
    """The second emulator, and clients of it."""

    def __init__(self, endpoint: str) -> None:
        self.session = boto3.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        )
        config = Config(s3={"addressing_style": "path"})
        self.dynamodb = self.session.client("dynamodb", endpoint_url=endpoint, config=config)
        self.sqs = self.session.client("sqs", endpoint_url=endpoint, config=config)
        self.s3 = self.session.client("s3", endpoint_url=endpoint, config=config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", endpoint)
            account = Account(self.session)
            self.tables = account.service(DYNAMODB, clock=SystemClock())
            self.queues = account.service(SQS, clock=SystemClock())


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    if not SERVER.exists():
        pytest.fail(f"{SERVER} is missing; run `make test-all`, which installs it")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("ministack")
    log = folder / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [SERVER],
            env={**kept, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "HOME": str(folder)},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        ) as server,
    ):
        try:
            _wait_for(port, server, log)
            yield Second(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            SystemClock().sleep(timedelta(seconds=0.1))
        else:
            return
    pytest.fail(f"the second emulator did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def store(second: Second, clock: Clock) -> Iterator[JobStore]:
    make_table(second.dynamodb)
    yield DynamoStore(second.tables, TABLE, clock)
    second.dynamodb.delete_table(TableName=TABLE)


@pytest.fixture
def messages(second: Second) -> Iterator[WorkQueue]:
    urls = made_queues(second.sqs, {"default": ()})
    yield SqsMessages(second.queues, urls, SystemClock())
    for url in urls.values():
        second.sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def files(second: Second) -> ObjectStore:
    names = {area: f"{area}-{uuid4()}" for area in Area}
    for area, name in names.items():
        second.s3.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        if area is Area.INPUT:
            second.s3.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"}
            )
    return S3Files(lambda: second.s3, names)


class TestDynamoStore(StoreConformance):
    pass


class TestS3Files(FilesConformance):
    # S3's own default type is binary/octet-stream; this one says application/octet-stream
    test_a_file_of_which_nothing_is_said_has_no_metadata = None  # type: ignore[assignment]


def _at_once(suite: type) -> dict[str, Any]:
    """Leave out the tests in which time passes: this emulator's time is the machine's."""
    return {
        name: None
        for name in dir(suite)
        if name.startswith("test_")
        and {"pass_time", "clock"} & signature(getattr(suite, name)).parameters.keys()
    }


TestSqsMessages = type("TestSqsMessages", (MessagesConformance,), _at_once(MessagesConformance))


def test_a_job_goes_from_its_upload_to_its_end(
    store: JobStore, messages: WorkQueue, files: ObjectStore
) -> None:
    described = installation_in_real_time(queues={"default": ("copy",)})
    installation = Installation(
        name="second",
        store=store,
        messages=messages,
        files=files,
        clock=SystemClock(),
        entropy=os.urandom,
        queues=described.queues,
        hooks=described.hooks,
        skipped=described.skipped,
    )
    worker = Simulation(installation=installation)

    @worker.tasks.task("copy")
    def copy(job: RunningJob) -> None:
        job.output("copy", job.download())

    job = RemoteJob(installation).queue().submit("copy", body=b"content")

    assert worker.step() == 1
    job.refresh()
    assert job.state is State.COMPLETED
    assert job.outputs["copy"].read_bytes() == b"content"
