"""dramatiq on SQS, with its defaults except for the visibility timeout."""

from __future__ import annotations

import os

import dramatiq
from dramatiq_sqs import SQSBroker

from benchmarks.apps.submitting import serve
from benchmarks.marks import Marker

_MARKER = Marker()

broker = SQSBroker(
    visibility_timeout=int(os.environ["BENCH_VISIBILITY_S"]),
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=os.environ["BENCH_QUEUE"])
def nothing() -> None:
    _MARKER.mark()


@dramatiq.actor(queue_name=os.environ["BENCH_QUEUE"])
def nap(number: int, seconds: float) -> None:
    _MARKER.nap(number, seconds)


def one(count: int) -> None:
    for _ in range(count):
        nothing.send()


def naps(first: int, count: int, seconds: float) -> None:
    for number in range(first, first + count):
        nap.send(number, seconds)


if __name__ == "__main__":
    serve({"one": one, "nap": naps})
