"""boto3 in a loop: receive ten messages, run them, delete ten. It keeps no records."""

from __future__ import annotations

import json
import os
import sys

import boto3

from benchmarks.apps.submitting import serve
from benchmarks.marks import Marker

_BATCH = 10
_URL = os.environ["BENCH_QUEUE_URL"]


def _send(sqs: object, bodies: list[str]) -> None:
    for at in range(0, len(bodies), _BATCH):
        entries = [
            {"Id": str(place), "MessageBody": body}
            for place, body in enumerate(bodies[at : at + _BATCH])
        ]
        refused = sqs.send_message_batch(QueueUrl=_URL, Entries=entries).get("Failed", [])
        if refused:
            raise RuntimeError(f"not sent: {refused}")


def _submit() -> None:
    sqs = boto3.client("sqs")

    def naps(first: int, count: int, seconds: float) -> None:
        _send(sqs, [json.dumps([number, seconds]) for number in range(first, first + count)])

    serve({"one": lambda count: _send(sqs, ["null"] * count), "nap": naps})


def _work() -> None:
    sqs, marker = boto3.client("sqs"), Marker()
    while True:
        received = sqs.receive_message(
            QueueUrl=_URL, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=20
        ).get("Messages", [])
        if not received:
            continue
        for message in received:
            nap = json.loads(message["Body"])
            if nap is None:
                marker.mark()
            else:
                marker.nap(*nap)
        sqs.delete_message_batch(
            QueueUrl=_URL,
            Entries=[
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(received)
            ],
        )


if __name__ == "__main__":
    _submit() if sys.argv[1] == "submit" else _work()
