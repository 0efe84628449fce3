"""Real worker processes that die, stop, and may not do everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remotejob import Job, Queue, RemoteJob, State, WorkerStatus
from remotejob.cli.exit_codes import Exit
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from tests.end_to_end.commands import remotejob_here
from tests.end_to_end.waiting import PATIENCE, end_polls, given_back, until


def begun(folder: Path) -> list[str]:
    """Ids of the runs that have begun."""
    return [path.name.removeprefix("begun-") for path in folder.glob("begun-*")]


def held(queue: Queue, folder: Path) -> Job:
    """A job that is running and waits to be let go."""
    job = queue.submit("hold", data={"folder": str(folder)})
    until(lambda: begun(folder), what="the run's beginning")
    return job


def draining(aws: EmbeddedAws) -> list[dict[str, Any]]:
    """The workers that say they are about to stop."""
    listed = remotejob_here(aws, "workers", "--json")
    assert listed.returncode == Exit.OK, listed.stderr
    return [worker for worker in json.loads(listed.stdout) if worker["draining"]]


def messages_of(aws: EmbeddedAws, queue: str, job: Job) -> list[str]:
    """Bodies of the messages about a job, taken from a queue."""
    sqs, url = aws.client("sqs"), aws.deployment.one("AWS::SQS::Queue", queue).physical_id
    bodies: list[str] = []
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [message["Body"] for message in received]
    return [body for body in bodies if job.id in body]


@pytest.mark.exhaustive
def test_worker_of_a_stopped_queue_takes_nothing_until_it_is_started(
    aws: EmbeddedAws, queue: Queue, tmp_path: Path
) -> None:
    assert remotejob_here(aws, "stop", "default").returncode == Exit.OK
    try:
        worker = aws.start_worker()
        job = queue.submit("hold", data={"folder": str(tmp_path)})
        until(
            lambda: any("is stopped since" in (one.shortage or "") for one in queue_workers(queue)),
            what="the worker's sign that it takes none",
        )
        assert "is stopped since" in remotejob_here(aws, "why", job.id).stdout
        assert begun(tmp_path) == []
        worker.kill()
        worker.wait()
    finally:
        assert remotejob_here(aws, "start", "default").returncode == Exit.OK
    other = aws.start_worker()
    (tmp_path / "go").touch()
    try:
        assert job.wait(PATIENCE).state is State.COMPLETED
    finally:
        other.kill()
        other.wait()


def queue_workers(queue: Queue) -> list[WorkerStatus]:
    return RemoteJob(queue._installation).workers(queue.name)


def test_killed_worker_loses_nothing_and_the_job_commits_once(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    job = held(queue, tmp_path)

    worker.kill()
    worker.wait()
    (first,) = begun(tmp_path)
    (tmp_path / "go").touch()
    other = aws.start_worker()
    try:
        job.wait(PATIENCE)
    finally:
        other.kill()
        other.wait()

    assert job.state is State.COMPLETED
    assert job.result != first, "the outcome is that of the second run"
    assert job.record.crashes == 1
    assert job.record.failures == 0
    assert job.outputs["seen.txt"].open().read().decode() == job.result


@pytest.mark.exhaustive
def test_job_whose_killed_worker_may_not_be_followed_by_another_fails(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    job = queue.submit("hold", data={"folder": str(tmp_path)}, crashes=0)
    until(lambda: begun(tmp_path), what="the run's beginning")

    worker.kill()
    worker.wait()
    other = aws.start_worker()
    try:
        until(lambda: job.refresh().ended, what="the job's end")
        failed, runs = job.state, begun(tmp_path)
        (tmp_path / "go").touch()
        job.restart()
        job.wait(PATIENCE)
    finally:
        other.kill()
        other.wait()

    assert failed is State.FAILED
    assert len(runs) == 1
    assert job.errors[0].kind == "WorkerDied"
    assert "must not run again by itself" in job.errors[0].message
    assert job.state is State.COMPLETED
    assert len(begun(tmp_path)) == 2


@pytest.mark.parametrize(
    "comes", ["something", pytest.param("nothing", marks=pytest.mark.exhaustive)]
)
def test_stopped_worker_finishes_what_it_runs(
    queue: Queue, worker: Worker, tmp_path: Path, comes: str
) -> None:
    job = held(queue, tmp_path)

    worker.terminate()
    until(lambda: "worker drains" in worker.log.read_text(), what="that it drains")
    others = end_polls(queue) if comes == "something" else []
    (tmp_path / "go").touch()

    assert worker.wait(PATIENCE) == 0
    assert job.refresh().state is State.COMPLETED
    assert job.attempt == 1
    assert not others or given_back(others)


@pytest.mark.exhaustive
def test_worker_that_is_about_to_stop_is_listed_so(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    job = held(queue, tmp_path)

    worker.terminate()

    until(lambda: draining(aws), what="the sign that it is about to stop")
    (told,) = draining(aws)
    assert [one["job"] for one in told["running"]] == [job.id]
    (line,) = (
        line
        for line in remotejob_here(aws, "workers").stdout.splitlines()
        if line.startswith(told["name"])
    )
    assert "draining" in line
    others = end_polls(queue)
    (tmp_path / "go").touch()
    assert worker.wait(PATIENCE) == 0
    assert given_back(others)
    assert draining(aws) == []


@pytest.mark.exhaustive
def test_worker_signalled_twice_gives_its_job_back_uncounted(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    job = held(queue, tmp_path)

    worker.terminate()
    # the kernel makes one of two that come together
    until(lambda: "worker drains" in worker.log.read_text(), what="that it drains")
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    job.refresh()

    assert job.state is State.READY
    assert job.attempt == 0
    assert job.record.releases == 1
    (tmp_path / "go").touch()
    other = aws.start_worker()
    try:
        assert job.wait(PATIENCE).state is State.COMPLETED
    finally:
        other.kill()
        other.wait()
    assert job.attempt == 1


@pytest.mark.exhaustive
def test_job_longer_than_its_lease_runs_once(queue: Queue, worker: Worker, tmp_path: Path) -> None:
    job = held(queue, tmp_path)
    first = job.refresh().record.lease_ms or 0

    # two leases on: the message would have come back twice, had it not been kept hidden
    until(
        lambda: (job.refresh().record.lease_ms or 0) > first + 6_000,
        what="a lease extended twice over",
    )
    (tmp_path / "go").touch()

    assert job.wait(PATIENCE).state is State.COMPLETED
    assert len(begun(tmp_path)) == 1
    assert job.attempt == 1


@pytest.mark.refused_by_policy
def test_role_keeps_a_task_from_what_the_template_does_not_allow(
    queue: Queue, worker: Worker
) -> None:
    job = queue.submit("forbidden").wait(PATIENCE)

    assert job.state is State.FAILED
    assert "AccessDenied" in job.errors[-1].message


@pytest.mark.refused_by_policy
def test_end_of_a_job_is_sent_to_the_status_queues(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    completed = queue.submit("hold", data={"folder": str(tmp_path)}).wait(PATIENCE)
    failed = queue.submit("forbidden").wait(PATIENCE)

    def told(channel: str, job: Job) -> dict[str, str]:
        body = until(
            lambda: messages_of(aws, f"default/{channel}", job), what=f"{channel} message"
        )[0]
        message: dict[str, str] = json.loads(body)
        return message

    assert told("Completed", completed)["state"] == "completed"
    assert told("Failed", failed)["state"] == "failed"


def test_message_nobody_understands_ends_in_the_dead_letter_queue(
    aws: EmbeddedAws, queue: Queue, worker: Worker
) -> None:
    remote = RemoteJob(queue._installation)
    normal = aws.deployment.one("AWS::SQS::Queue", "default/Normal").physical_id
    aws.client("sqs").send_message(QueueUrl=normal, MessageBody="what is this?")

    (letter,) = until(lambda: remote.dead_letters().letters, what="the dead letter")

    assert letter.body == "what is this?"
    assert "not JSON" in letter.reason
    assert [one.id for one in remote.dead_letters()] == [letter.id], "whoever looked at it"
    assert [one.done for one in remote.discard_dead_letters(messages=[letter.id])] == [True]
    assert len(remote.dead_letters()) == 0
