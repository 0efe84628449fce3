"""The two programs of remotejob's README run, one after the other, on a real photo."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import boto3
import pytest
from PIL import Image

from remotejob import Queue, RemoteJob, State
from remotejob.names import SYSTEM_VERSION, QueueKey, SystemKey, queue_parameter, system_parameter
from remotejob.ports import QUEUE_CHANNELS, Area
from remotejob.testing import FakeClock
from tests.aws import BUCKETS, REGION, TABLE, aws_installation, clients

EXAMPLES = Path(__file__).parents[2] / "examples"
NOT_A_PHOTO = EXAMPLES / "photos" / "not-a-photo.jpg"


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """The queue of a system that a program finds by itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    now = FakeClock(datetime.now(UTC))
    with aws_installation(now, queues={"default": ("thumbnail",)}):
        urls = {
            channel.value: clients().sqs.get_queue_url(QueueName=f"default-{channel}")["QueueUrl"]
            for channel in QUEUE_CHANNELS
        }
        described = {
            SystemKey.VERSION: SYSTEM_VERSION,
            SystemKey.NAME: "default",
            SystemKey.TABLE: TABLE,
            SystemKey.INPUT_BUCKET: BUCKETS[Area.INPUT],
            SystemKey.OUTPUT_BUCKET: BUCKETS[Area.OUTPUT],
            SystemKey.LEASE_SECONDS: 60,
            SystemKey.RETENTION_DAYS: 30,
        }
        queue = {**urls, QueueKey.TASKS: ["thumbnail"]}
        for name, value in (
            (system_parameter("default"), described),
            (queue_parameter("default", "default"), queue),
        ):
            boto3.client("ssm").put_parameter(Name=name, Value=json.dumps(value), Type="String")
        yield RemoteJob.connect().queue()


def test_the_requester_asks_and_the_receiver_answers(
    queue: Queue, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runpy.run_path(str(EXAMPLES / "requester.py"), run_name="__main__")
    (job,) = queue.jobs()
    assert f"job {job.id} submitted for processing" in capsys.readouterr().out

    receiver = runpy.run_path(str(EXAMPLES / "receiver.py"))
    receiver["process_next"](queue)

    notice = queue.next("completed", wait=timedelta(0))
    assert notice is not None
    assert (notice.job_id, notice.state) == (job.id, State.COMPLETED)
    assert notice.job.data == {"name": "Chelsea"}
    with notice.open() as original, Image.open(BytesIO(original.read())) as before:
        width, height = before.size
    with Image.open(notice.outputs["cat.png"].download(tmp_path)) as made:
        assert made.format == "PNG"
        assert min(made.size) == 400
        assert made.width / made.height == pytest.approx(width / height, abs=0.01)
    assert "cat.png processed" in capsys.readouterr().out


def test_the_receiver_fails_what_is_no_photo(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    job = queue.submit("thumbnail", body=NOT_A_PHOTO)

    runpy.run_path(str(EXAMPLES / "receiver.py"))["process_next"](queue)

    assert job.refresh().state is State.FAILED
    assert job.errors[-1].kind == "UnidentifiedImageError"
    assert "not-a-photo.jpg failed" in capsys.readouterr().out
