"""taskiq on SQS, tuned: sends and receives ten messages at a time, with results in S3."""

from __future__ import annotations

import asyncio
import os

from taskiq_aio_sqs import S3Backend, SQSBroker

from benchmarks.apps.submitting import serve
from benchmarks.marks import Kind, Marker

_MARKER = Marker()
_PLACE = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": os.environ["AWS_REGION"]}
_BATCH_TIMEOUT_S = 1.0

broker = SQSBroker(
    os.environ["BENCH_QUEUE"],
    max_number_of_messages=10,
    wait_time_seconds=20,
    visibility_timeout=int(os.environ["BENCH_VISIBILITY_S"]),
    enable_batching=True,
    batch_size=10,
    batch_timeout=_BATCH_TIMEOUT_S,
    **_PLACE,
).with_result_backend(S3Backend(os.environ["BENCH_BUCKET"], **_PLACE))


@broker.task("nothing")
async def nothing() -> None:
    _MARKER.mark()


@broker.task("nap")
async def nap(number: int, seconds: float) -> None:
    _MARKER.mark(number)
    await asyncio.sleep(seconds)
    _MARKER.mark(number, Kind.END)


def _serve() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())

    async def submit_nothing(count: int) -> None:
        for _ in range(count):
            await nothing.kiq()
        # `kiq` returns before sending, so wait until the jobs' messages are sent
        await asyncio.sleep(_BATCH_TIMEOUT_S * 1.2)

    async def submit_naps(first: int, count: int, seconds: float) -> None:
        for number in range(first, first + count):
            await nap.kiq(number, seconds)
        await asyncio.sleep(_BATCH_TIMEOUT_S * 1.2)

    serve(
        {
            "one": lambda count: loop.run_until_complete(submit_nothing(count)),
            "nap": lambda **naps: loop.run_until_complete(submit_naps(**naps)),
        }
    )


if __name__ == "__main__":
    _serve()
