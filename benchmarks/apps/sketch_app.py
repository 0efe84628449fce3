"""The smallest queue that keeps records: put and send; receive ten, claim, run, complete, delete.

It has no heartbeat, no retry, no order and no scheduler.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError

from benchmarks.apps.submitting import serve
from benchmarks.marks import Marker

_BATCH = 10
_CONCURRENCY = 8
_LEASE_S = int(os.environ["BENCH_VISIBILITY_S"])
_URL = os.environ["BENCH_QUEUE_URL"]
_TABLE = os.environ["BENCH_TABLE"]
_CLAIM = (
    "SET j_state = :running, j_run = :run, j_until = :until ADD j_attempt :one",
    "j_state = :ready OR (j_state = :running AND j_until < :now)",
)
_COMPLETE = ("SET j_state = :completed, j_ended = :now", "j_run = :run")


def _submit() -> None:
    sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")

    def put(job: Any) -> None:
        name = uuid.uuid4().hex
        item = {"id": {"S": name}, "j_state": {"S": "ready"}, "j_made": {"N": str(time.time_ns())}}
        dynamodb.put_item(
            TableName=_TABLE, Item=item, ConditionExpression="attribute_not_exists(id)"
        )
        sqs.send_message(QueueUrl=_URL, MessageBody=json.dumps([name, job]))

    def one(count: int) -> None:
        for _ in range(count):
            put(None)

    def naps(first: int, count: int, seconds: float) -> None:
        for number in range(first, first + count):
            put([number, seconds])

    serve({"one": one, "nap": naps})


def _work() -> None:
    sqs, dynamodb, marker = boto3.client("sqs"), boto3.client("dynamodb"), Marker()

    def update(name: str, expression: str, condition: str, **values: dict[str, str]) -> None:
        dynamodb.update_item(
            TableName=_TABLE,
            Key={"id": {"S": name}},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues={f":{key}": value for key, value in values.items()},
        )

    def run(message: dict[str, str]) -> str | None:
        """Run a job; return the handle to delete, or None if another worker has the job."""
        name, nap = json.loads(message["Body"])
        now, run_id = int(time.time()), {"S": uuid.uuid4().hex}
        running, ready, completed = ({"S": state} for state in ("running", "ready", "completed"))
        until, at, first = {"N": str(now + _LEASE_S)}, {"N": str(now)}, {"N": "1"}
        try:
            update(
                name, *_CLAIM, running=running, ready=ready, run=run_id, until=until, now=at,
                one=first,
            )  # fmt: skip
            if nap is None:
                marker.mark()
            else:
                marker.nap(*nap)
            update(name, *_COMPLETE, completed=completed, now=at, run=run_id)
        except ClientError as problem:
            if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return None
        return message["ReceiptHandle"]

    with ThreadPoolExecutor(_CONCURRENCY) as threads:
        while True:
            received = sqs.receive_message(
                QueueUrl=_URL, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=20
            ).get("Messages", [])
            done = [handle for handle in threads.map(run, received) if handle is not None]
            entries = [{"Id": str(place), "ReceiptHandle": h} for place, h in enumerate(done)]
            if entries:
                sqs.delete_message_batch(QueueUrl=_URL, Entries=entries)


if __name__ == "__main__":
    _submit() if sys.argv[1] == "submit" else _work()
