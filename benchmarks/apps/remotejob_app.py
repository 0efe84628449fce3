"""Our submitter. The worker is the deployed one, with the tasks of `benchmarks.tasks`."""

from __future__ import annotations

import os

from benchmarks.apps.submitting import serve
from remotejob import RemoteJob, Submission

_BODY = os.urandom(10_240)


def _submit() -> None:
    queue = RemoteJob.connect("bench").queue(os.environ["BENCH_QUEUE"])

    def one(count: int) -> None:
        for _ in range(count):
            queue.submit("nothing")

    def bulk(count: int) -> None:
        queue.submit_many([Submission(task="nothing") for _ in range(count)])

    def body(count: int) -> None:
        for _ in range(count):
            queue.submit("copy", body=_BODY, filename="body.bin")

    def bulk_bodies(count: int) -> None:
        queue.submit_many(
            [Submission(task="copy", body=_BODY, filename="body.bin") for _ in range(count)]
        )

    def naps(first: int, count: int, seconds: float) -> None:
        for number in range(first, first + count):
            queue.submit("nap", data={"number": number, "seconds": seconds})

    serve({"one": one, "bulk": bulk, "body": body, "bodies": bulk_bodies, "nap": naps})


if __name__ == "__main__":
    _submit()
