"""The backends on AWS keep their promises on a second emulator, which shares no code with moto.

`make test-all` installs it. What differs is listed at the end of docs/aws-assumptions.md.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
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
from remotejob.local.assembly import Assembly
from remotejob.local.deployment import deploy
from remotejob.names import Env, Part, SystemKey, queue_parameter, stack_name, system_parameter
from remotejob.ports import Area, Clock, Installation, JobStore, ObjectStore, WorkQueue
from remotejob.testing import Simulation
from remotejob.testing.conformance import FilesConformance, MessagesConformance, StoreConformance
from tests.aws import REGION, TABLE, made_queues, make_table
from tests.deployed import assembly_of, exported
from tests.end_to_end.waiting import until
from tests.systems import installation_in_real_time

pytestmark = [pytest.mark.exhaustive, pytest.mark.xdist_group("ministack")]

ROOT: Final = Path(__file__).resolve().parents[2]
SERVER: Final = ROOT / ".tools" / "ministack" / "bin" / "ministack"
PATIENCE_S: Final = 60.0
ACCOUNT: Final = "123456789012"
SETTINGS: Final = ROOT / "remotejob.toml"
SYSTEM: Final = "default"
QUEUE: Final = "default"


class Second:
    """The second emulator, and clients of it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
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


def test_a_job_goes_from_its_body_to_its_end(
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


def test_the_stacks_make_a_job_of_an_upload_and_a_worker_ends_it(
    second: Second, tmp_path: Path
) -> None:
    """The deployed functions run, fed by EventBridge; the worker is the container's program."""
    assembly = _known_there(assembly_of(SETTINGS))
    exports = {
        "AWS_ENDPOINT_URL": second.endpoint,
        # the account is the key
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": assembly.region,
        "AWS_DEFAULT_REGION": assembly.region,
    }
    session = boto3.Session(
        aws_access_key_id=ACCOUNT, aws_secret_access_key="test", region_name=assembly.region
    )
    path_style = Config(s3={"addressing_style": "path"})

    def client(service: str) -> Any:
        return session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=second.endpoint,
            config=path_style,
        )

    deploy(assembly, client=client, cache=tmp_path)
    with exported(exports), closing(_worker(client("ssm"), exports, tmp_path)) as worker:
        system = RemoteJob.connect(SYSTEM)
        photo = (ROOT / "examples/photos/cat-face.png").read_bytes()
        client("s3").put_object(Bucket=system.input_bucket, Key="photos/cat.png", Body=photo)
        (job,) = until(system.jobs, what="the job of the upload")
        job.wait(timeout=PATIENCE_S)
        assert job.state is State.COMPLETED
        assert job.outputs
        worker.stop()


def _known_there(assembly: Assembly) -> Assembly:
    """Without alarms on expressions, which it refuses, and without workers, which it cannot run."""
    stacks = [one for one in assembly.stacks if one.name != stack_name(SYSTEM, Part.WORKERS)]
    for stack in stacks:
        resources = stack.template["Resources"]
        for name in [n for n, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"]:
            del resources[name]
    return replace(assembly, stacks=tuple(stacks))


class _Running:
    """A worker's process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process, self._log = process, log

    def stop(self) -> None:
        """As ECS does. Raises: AssertionError, when it does not end well."""
        self._process.terminate()
        assert self._process.wait(PATIENCE_S) == 0, self._log.read_text()[-2000:]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _worker(ssm: Any, exports: dict[str, str], folder: Path) -> _Running:
    def parameter(name: str) -> Any:
        return json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])

    system = parameter(system_parameter(SYSTEM))
    system[SystemKey.QUEUES] = {QUEUE: parameter(queue_parameter(SYSTEM, QUEUE))}
    log = folder / "worker.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "remotejob.container"],
            env={
                "PATH": os.environ["PATH"],
                **exports,
                Env.SYSTEM: json.dumps(system),
                Env.QUEUE: QUEUE,
                Env.TASKS: "worker_container.tasks",
            },
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    return _Running(process, log)
