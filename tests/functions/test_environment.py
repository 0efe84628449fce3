"""The functions find their system in the environment the stacks give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remotejob.backends.aws import from_environment
from remotejob.functions import on_upload
from remotejob.names import Env
from remotejob.ports import QUEUE_CHANNELS, Area
from tests.aws import BUCKETS, REGION, TABLE, aws_installation, clients
from tests.functions.conftest import Context, batch, event


def _described(urls: dict[str, str]) -> str:
    return json.dumps(
        {
            "version": 1,
            "name": "test",
            "table": TABLE,
            "input_bucket": BUCKETS[Area.INPUT],
            "output_bucket": BUCKETS[Area.OUTPUT],
            "lease_seconds": 60,
            "retention_days": 30,
            "queues": {"default": {"tasks": ["thumbnail"], **urls}},
        }
    )


def test_an_upload_becomes_a_job_on_aws(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_upload, "from_environment", from_environment)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with aws_installation():
        sqs = clients().sqs
        urls = {
            str(channel): sqs.get_queue_url(QueueName=f"default-{channel}")["QueueUrl"]
            for channel in QUEUE_CHANNELS
        }
        monkeypatch.setenv(Env.SYSTEM, _described(urls))
        call: Any = on_upload.handler

        answers = [call(batch(event("s3_put")), context) for _ in range(2)]

        assert answers == [{"batchItemFailures": []}] * 2
        items = clients().dynamodb.scan(TableName=TABLE)["Items"]
        assert [item["j_task"]["S"] for item in items] == ["thumbnail"]
        received = sqs.receive_message(
            QueueUrl=urls["high"], MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        bodies = [json.loads(message["Body"]) for message in received["Messages"]]
        assert [body["id"] for body in bodies] == [items[0]["sk"]["S"]] * 2
