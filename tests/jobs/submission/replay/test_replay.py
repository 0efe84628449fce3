"""Replay in the system: the same data and version of the input, in a new job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import (
    CommandRefused,
    InvalidBody,
    Job,
    Queue,
    Retry,
    RunningJob,
    State,
    UnknownQueue,
    UnknownTask,
)
from remotejob.backends.aws import S3Files
from remotejob.backends.memory import MemoryFiles
from remotejob.domain.record import InputFile
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, Simulation
from tests.aws import clients
from tests.systems import BACKENDS, installation_on

QUEUES = {"default": ("work",), "second": ("work",), "third": ("other",)}


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    with installation_on(request.param, FakeClock(), queues=QUEUES) as made:
        yield made


@pytest.fixture
def seen() -> list[tuple[bytes, object]]:
    """What each run of the task was given."""
    return []


def working(
    installation: Installation, seen: list[tuple[bytes, object]], queue: str = "default"
) -> Simulation:
    worker = Simulation(installation=installation, queue=queue)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        with job.open() as stream:
            seen.append((stream.read(), job.data))
        if job.data == "fail":
            raise ValueError("no")

    return worker


@pytest.fixture
def worker(installation: Installation, seen: list[tuple[bytes, object]]) -> Simulation:
    return working(installation, seen)


def overwrite(job: Job, installation: Installation) -> InputFile:
    """Put another file in the place of the job's input."""
    assert job.input is not None
    installation.files.put(Area.INPUT, job.input.key, b"another one")
    return job.input


def test_replay_has_the_data_and_the_version_of_the_input(
    queue: Queue, worker: Simulation, installation: Installation, seen: list[tuple[bytes, object]]
) -> None:
    job = queue.submit("work", body=b"as it was", filename="a.txt", data={"size": 3}, priority=20)
    worker.step()
    overwrite(job, installation)

    again = job.replay()
    worker.step()

    assert seen == [(b"as it was", {"size": 3})] * 2
    assert again.id != job.id
    assert again.refresh().state is State.COMPLETED
    assert (again.origin_id, again.filename, again.priority) == (job.id, "a.txt", 20)
    assert again.input == job.input


def test_failed_job_is_replayed_with_its_policy(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work", body=b"x", data="fail", retry=Retry(max_attempts=1))
    worker.step()
    assert job.refresh().state is State.FAILED

    again = job.replay()
    worker.step()
    assert again.refresh().state is State.FAILED
    assert again.record.retry == Retry(max_attempts=1)


def test_cancelled_job_is_replayed(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work", body=b"x").cancel()
    again = job.replay()
    worker.step()
    assert again.refresh().state is State.COMPLETED


def test_replay_of_long_data_keeps_a_copy_of_its_own(
    queue: Queue, worker: Simulation, installation: Installation, seen: list[tuple[bytes, object]]
) -> None:
    long = "x" * 10_000
    job = queue.submit("work", body=b"x", data=long)
    worker.step()
    again = job.replay()
    assert job.record.data_ref is not None
    assert again.record.data_ref != job.record.data_ref

    installation.files.delete(Area.INPUT, [job.record.data_ref])
    worker.step()
    assert seen[-1] == (b"x", long)


def test_replay_goes_to_another_queue(
    queue: Queue, worker: Simulation, installation: Installation, seen: list[tuple[bytes, object]]
) -> None:
    job = queue.submit("work", body=b"x")
    worker.step()

    again = job.replay("second")
    assert again.queue == "second"
    assert working(installation, seen, "second").step() == 1
    assert again.refresh().state is State.COMPLETED


def test_replay_is_refused_where_it_cannot_run(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work", body=b"x")
    with pytest.raises(CommandRefused, match="allowed when it is cancelled, completed or failed"):
        job.replay()
    worker.step()
    with pytest.raises(UnknownQueue, match="unknown queue 'fourth'"):
        job.replay("fourth")
    with pytest.raises(UnknownTask, match="queue 'third' runs other"):
        job.replay("third")


def expire(job: Job, installation: Installation) -> None:
    """Let the bucket forget the version the job had, as its lifecycle does."""
    assert job.input is not None
    file = job.input
    if isinstance(installation.files, S3Files):
        assert file.version is not None
        clients().s3.delete_object(Bucket=file.bucket, Key=file.key, VersionId=file.version)
    else:
        assert isinstance(installation.files, MemoryFiles)
        installation.files.expire(Area.INPUT, file.key)


def test_replay_of_an_input_that_is_gone_says_how_long_it_is_kept(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    job = queue.submit("work", body=b"x")
    worker.step()
    expire(job.refresh(), installation)

    with pytest.raises(InvalidBody, match=r"is gone: inputs are kept for 30 days"):
        job.replay()
    with pytest.raises(InvalidBody, match=r"is gone: inputs are kept for 30 days"):
        job.replay_here(lambda job: None)
    assert [one.id for one in queue.jobs()] == [job.id]


def test_replay_of_an_input_that_was_overwritten_in_a_bucket_without_versions_is_refused(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    job = queue.submit("work", body=b"x")
    worker.step()
    file = replace(overwrite(job, installation), version=None)
    record = replace(job.refresh().record, input_json=file.to_json())

    with pytest.raises(InvalidBody, match="was overwritten, and its bucket keeps no versions"):
        Job(record, installation).replay_here(lambda job: None)


def test_replay_waits_for_nothing_and_does_not_repeat(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    first = queue.submit("work", body=b"x")
    job = queue.submit("work", body=b"x", depends=[first], delay=timedelta(0))
    while worker.step():
        pass
    again = job.refresh().replay()
    assert again.state is State.READY
    assert again.depends == ()
