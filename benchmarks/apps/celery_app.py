"""Celery on SQS, set up as its documentation recommends.

Results go to DynamoDB if BENCH_TABLE is set, to S3 if BENCH_BUCKET is, else nowhere.
"""

from __future__ import annotations

import os
from urllib.parse import quote

from celery import Celery

from benchmarks.apps.submitting import serve
from benchmarks.marks import Marker

_REGION = os.environ["AWS_REGION"]
_QUEUE = os.environ["BENCH_QUEUE"]
_TABLE = os.environ.get("BENCH_TABLE")
_BUCKET = os.environ.get("BENCH_BUCKET")
_HOST = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
_KEYS = ":".join(
    quote(os.environ[name], safe="") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
)
_MARKER = Marker()

app = Celery("bench")
app.conf.update(
    broker_url=f"sqs://{_KEYS}@{_HOST}",
    broker_transport_options={
        "region": _REGION,
        "is_secure": False,
        "visibility_timeout": int(os.environ["BENCH_VISIBILITY_S"]),
        # as recommended: needs no ListQueues, and the fewest permissions
        "predefined_queues": {_QUEUE: {"url": os.environ["BENCH_QUEUE_URL"]}},
    },
    task_default_queue=_QUEUE,
    # Celery has no remote control on SQS
    worker_enable_remote_control=False,
    task_ignore_result=_TABLE is None and _BUCKET is None,
)
if _TABLE is not None:
    app.conf.update(
        result_backend=f"dynamodb://@{_REGION}/{_TABLE}",
        dynamodb_endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    )
elif _BUCKET is not None:
    app.conf.update(
        result_backend="s3",
        s3_bucket=_BUCKET,
        s3_region=_REGION,
        s3_endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    )


@app.task(name="nothing")
def nothing() -> None:
    _MARKER.mark()


@app.task(name="nap")
def nap(number: int, seconds: float) -> None:
    _MARKER.nap(number, seconds)


def one(count: int) -> None:
    for _ in range(count):
        nothing.delay()


def naps(first: int, count: int, seconds: float) -> None:
    for number in range(first, first + count):
        nap.delay(number, seconds)


if __name__ == "__main__":
    serve({"one": one, "nap": naps})
