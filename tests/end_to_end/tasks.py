"""Tasks of the end-to-end tests, run by real workers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import boto3

from remotejob import Async, AsyncRunningJob, Credentials, Process, Retry, RunningJob, task
from worker_container.tasks import thumbnail

__all__ = [
    "chained",
    "crash_once",
    "feed",
    "feed_apart",
    "forbidden",
    "hold",
    "needs",
    "needs_apart",
    "say",
    "say_apart",
    "say_later",
    "thumbnail",
    "work_apart",
]

log = logging.getLogger("tests.said")


@task("hold", retry=Retry(max_attempts=2))
def hold(job: RunningJob) -> str:
    """Say that the run has begun, then wait until the test lets it go."""
    folder = Path(job.data["folder"])
    job.output("seen.txt", job.run_id.encode())
    (folder / f"begun-{job.run_id}").touch()
    while not (folder / "go").exists():
        job.check()
        time.sleep(0.05)
    return job.run_id


@task("chained")
def chained(job: RunningJob) -> list[list[object]]:
    """What its antecedents made, read with the role of the queue's workers."""
    return [
        [one.id, one.data, [len(output.read_bytes()) for output in one.outputs.values()]]
        for one in job.antecedents()
    ]


@task("forbidden")
def forbidden(job: RunningJob) -> None:
    """Do what the worker's role does not allow."""
    boto3.client("sqs").create_queue(QueueName="mine")


@task("feed")
def feed(job: RunningJob) -> None:
    """Write the input under its own prefix again, with the credentials that it holds."""
    assert job.input is not None
    path = job.download()
    bucket, own = job.input.bucket, json.loads(path.read_text())
    key = f"{job.input.key.rpartition('/')[0]}/{job.id}"
    boto3.client("s3", **own).upload_file(str(path), bucket, key)


@task("feed_apart", runs_in=Process())
def feed_apart(job: RunningJob) -> None:
    feed(job)


@task("crash_once")
def crash_once(job: RunningJob) -> str:
    """Take the process down, the first time or always; then say which process did not go down."""
    crashed = Path(job.data["folder"]) / f"crashed-{job.id}"
    if job.data.get("always") or not crashed.exists():
        crashed.touch()
        os._exit(1)
    return str(os.getpid())


@task("say")
def say(job: RunningJob) -> None:
    """Log as code does that knows nothing of jobs; then fail, if asked to."""
    log.info("said in a thread", extra={"odd": {1, 2}})
    if job.data == "fail":
        raise ValueError("one\ntwo")


@task("say_later", runs_in=Async())
async def say_later(job: AsyncRunningJob) -> None:
    """The same, after others had their turn."""
    await asyncio.sleep(0.01)
    log.info("said in a coroutine")


@task(
    "work_apart",
    runs_in=Process(credentials=Credentials.NONE, grace=timedelta(milliseconds=500)),
)
def work_apart(job: RunningJob) -> dict[str, int | str]:
    """Copy the input, without credentials; or take the process down; or stop for nothing."""
    if job.data == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    while job.data == "ignore":
        time.sleep(1)
    content = job.download().read_bytes()
    job.output("copy", content)
    job.checkpoint("x" * 2000)
    found = boto3.Session().get_credentials()
    return {"size": len(content), "pid": os.getpid(), "credentials": str(found)}


@task("needs")
def needs(job: RunningJob) -> dict[str, str]:
    """The digests of the variables that the job names, or what a parameter says."""
    if isinstance(job.data, str):
        answer = boto3.client("ssm").get_parameter(Name=job.data)
        return {job.data: answer["Parameter"]["Value"]}
    return {name: hashlib.sha256(os.environ[name].encode()).hexdigest() for name in job.data}


@task("needs_apart", runs_in=Process())
def needs_apart(job: RunningJob) -> dict[str, str]:
    return needs(job)


@task("say_apart", runs_in=Process())
def say_apart(job: RunningJob) -> None:
    """The same, in a process of its own."""
    log.info("said in a process")
