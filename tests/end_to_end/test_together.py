"""Jobs that have to do with one another, on the deployed system, with its permissions enforced."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import Job, Queue, RemoteJob, Repeat, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker
from tests.end_to_end.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("worker")

PHOTO = "examples/photos/cat-face.png"
NOT_A_PHOTO = "examples/photos/not-a-photo.jpg"


def parked(job: Job) -> str | None:
    return job.refresh().record.parked


def begun(folder: Path) -> list[Path]:
    return list(folder.glob("begun-*"))


def test_job_runs_after_the_one_it_depends_on(queue: Queue) -> None:
    # too long for the record: a file that the workers' role may read
    data = {"size": 100, "note": "n" * 5_000}
    first = queue.submit("thumbnail", body=PHOTO, data=data)
    second = queue.submit("chained", depends=[first])

    assert second.wait(PATIENCE).state is State.COMPLETED, second.errors
    sizes = [output.size for output in first.refresh().outputs.values()]
    assert sizes
    assert second.result == [[first.id, data, sizes]]
    finished, started = first.refresh().finished_at, second.started_at
    assert finished is not None
    assert started is not None
    assert finished <= started


@pytest.mark.exhaustive
def test_failure_cancels_what_depends_on_it(queue: Queue) -> None:
    # not before the other one depends on it
    first = queue.submit("thumbnail", body=NOT_A_PHOTO, delay=timedelta(hours=1))
    second = queue.submit("thumbnail", body=PHOTO, depends=[first])
    first.make_ready()

    assert second.wait(PATIENCE).state is State.CANCELLED
    assert first.refresh().state is State.FAILED
    assert second.errors[0].kind == "DependencyFailed"


@pytest.mark.parametrize("shared", [{"resource": "scanner"}, {"tenant": "acme"}])
def test_one_job_at_a_time_of_a_resource_or_of_a_tenant_with_a_cap_of_one(
    queue: Queue, tmp_path: Path, shared: dict[str, Any]
) -> None:
    data = {"folder": str(tmp_path)}
    first = queue.submit("hold", data=data, **shared)
    until(lambda: begun(tmp_path), what="the first job begins")
    second = queue.submit("hold", data=data, **shared)
    until(lambda: parked(second), what="the second job is parked")
    assert len(begun(tmp_path)) == 1

    (tmp_path / "go").touch()

    assert [first.wait(PATIENCE).state, second.wait(PATIENCE).state] == [State.COMPLETED] * 2
    assert first.finished_at is not None
    assert second.started_at is not None
    assert first.finished_at <= second.started_at


@pytest.mark.exhaustive
def test_resource_of_a_killed_worker_is_taken_over(
    aws: EmbeddedAws, queue: Queue, worker: Worker, tmp_path: Path
) -> None:
    data = {"folder": str(tmp_path)}
    first = queue.submit("hold", data=data, resource="camera")
    until(lambda: begun(tmp_path), what="the first job begins")
    second = queue.submit("hold", data=data, resource="camera")
    until(lambda: parked(second), what="the second job is parked")
    worker.kill()
    worker.wait()
    (tmp_path / "go").touch()
    other = aws.start_worker()
    try:
        assert first.wait(PATIENCE).state is State.COMPLETED
        assert second.wait(PATIENCE).state is State.COMPLETED
    finally:
        other.kill()
        other.wait()
    assert first.record.crashes == 1


@pytest.mark.exhaustive
def test_completed_run_makes_the_next(queue: Queue, system: RemoteJob, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    again = Repeat(times=1, wait=timedelta(seconds=1))

    first = queue.submit("hold", data={"folder": str(tmp_path)}, repeat=again)

    assert first.wait(PATIENCE).state is State.COMPLETED
    second = system.job(first.next_id or "").wait(PATIENCE)
    assert second.state is State.COMPLETED
    assert (second.origin_id, second.next_id) == (first.id, None)
    assert len(begun(tmp_path)) == 2


@pytest.mark.exhaustive
def test_removed_job_and_its_outputs_are_gone(queue: Queue, system: RemoteJob) -> None:
    job = queue.submit("thumbnail", body=PHOTO)
    job.wait(PATIENCE)
    assert list(job.outputs)
    job.remove()
    assert job.id not in [one.id for one in system.jobs()]
