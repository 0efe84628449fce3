"""A job for each email: the creator and the worker of job-collection's and meteor-job's READMEs.

    python examples/ancestors/send_emails.py

runs both here, in memory. On a deployed system they are two programs, and each starts with
`RemoteJob.connect().queue()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from remotejob import Job, Priority, Queue, RemoteJob, Retry
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.processor import Processor
from remotejob.manual.taken_job import TakenJob
from remotejob.testing import FakeClock, memory_installation

TASK = "send_email"
EMAIL = {
    "address": "bozo@clowns.example",
    "subject": "Rainbow hair is running out",
    "message": "Only joking.",
}

Send = Callable[[dict[str, str]], Any]


def create(queue: Queue, email: dict[str, str] = EMAIL) -> Job:
    """The creator: send in an hour; retry up to five times, 15 minutes apart."""
    return (
        queue.new_job(TASK, email)
        .priority(Priority.NORMAL)
        .retry(Retry(max_attempts=6, wait=timedelta(minutes=15)))
        .delay(timedelta(hours=1))
        .save()
    )


def work(queue: Queue, send: Send, *, concurrency: int = 4) -> Processor:
    """The worker: calls a function with each job as it arrives, up to `concurrency` at a time."""

    def one(job: TakenJob) -> None:
        job.log(f"sending to {job.data['address']}")
        job.progress(0, 1)
        try:
            send(job.data)
        except OSError as problem:
            job.log(f"sending failed: {problem}", level="warning")
            job.fail(problem)
        else:
            job.progress(1, 1)
            job.done({"sent": job.data["address"]})

    return queue.process_jobs(TASK, one, concurrency=concurrency)


def work_in_lists(queue: Queue, send: Send, *, payload: int = 20) -> Processor:
    """The same worker with up to `payload` jobs per call; each job succeeds or fails on its own."""

    def some(jobs: list[TakenJob]) -> None:
        for job in jobs:
            try:
                send(job.data)
            except OSError as problem:
                job.fail(problem)
            else:
                job.done()

    return queue.process_jobs(TASK, some, payload=payload)


def run_here() -> Job:
    """Run the creator on a system in memory, and the worker an hour later."""
    clock = FakeClock()
    installation = memory_installation(clock, queues={"default": (TASK,)})
    queue = RemoteJob(installation).queue()
    job = create(queue)
    clock.advance(timedelta(hours=1))
    # a deployed system does this automatically, once a minute
    tick(installation)
    sent = threading.Event()

    def send(email: dict[str, str]) -> None:
        print(f"{email['subject']} -> {email['address']}")
        sent.set()

    with work(queue, send):
        sent.wait()
    return job.refresh()


if __name__ == "__main__":
    done = run_here()
    print(f"job {done.id} is {done.state}: {done.result}")
