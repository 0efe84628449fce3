"""Data, results and manifests: in the record while they are small, in S3 beyond that."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob import Queue, RemoteJob, State
from remotejob.domain.record import INLINE_LIMIT
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import Simulation

FITS = "x" * (INLINE_LIMIT - 2)
"""With its quotation marks it is as long as the record takes."""


def _keys(installation: Installation, area: Area) -> list[str]:
    return list(installation.files.keys(area, ""))


def test_data_that_fits_stays_in_the_record(queue: Queue, installation: Installation) -> None:
    job = queue.submit("work", data=FITS)

    assert _keys(installation, Area.INPUT) == []
    assert RemoteJob(installation).job(job.id).data == FITS


@pytest.mark.parametrize(
    "data",
    [FITS + "x", "ü" * (INLINE_LIMIT // 2), {"rows": list(range(5000))}],
    ids=["a byte too long", "too long in bytes, not in letters", "a big object"],
)
def test_longer_data_goes_to_s3_and_comes_back(
    queue: Queue, installation: Installation, worker: Simulation, tasks: Registry, data: Any
) -> None:
    seen: list[Any] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        seen.append(job.data)

    job = queue.submit("work", data=data)
    worker.step()

    assert seen == [data]
    assert job.data == data
    assert job.record.data_json is None
    assert _keys(installation, Area.INPUT) == [f"jobs/default/{job.id}/-/data.json"]


def test_long_data_and_a_body_live_side_by_side(queue: Queue) -> None:
    job = queue.submit("work", data=FITS + "x", body=b"content", filename="data.json")

    assert job.data == FITS + "x"
    assert job.input is not None
    assert job.input.size == 7


def test_a_result_that_fits_stays_in_the_record(
    queue: Queue, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: FITS)
    job = queue.submit("work")
    worker.step()

    assert job.refresh().result == FITS
    assert _keys(installation, Area.OUTPUT) == []


def test_a_longer_result_goes_to_s3_and_comes_back(
    queue: Queue, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: [FITS, FITS])
    job = queue.submit("work")
    worker.step()

    assert job.refresh().result == [FITS, FITS]
    assert job.record.result_json is None
    assert _keys(installation, Area.OUTPUT) == [
        f"default/{job.id}/{job.record.run_id}/-/result.json"
    ]


def test_a_longer_manifest_goes_to_s3_and_comes_back(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    names = [f"page {number:04d} {'x' * 50}.txt" for number in range(100)]

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for name in names:
            job.output(name, name.encode())

    job = queue.submit("work")
    worker.step()

    assert list(job.refresh().outputs) == names
    assert job.record.outputs_json is None
    with job.outputs[names[7]].open() as stream:
        assert stream.read() == names[7].encode()


def test_files_the_library_keeps_for_itself_are_not_outputs(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> list[str]:
        job.output("one.txt", b"1")
        return [FITS, FITS]

    job = queue.submit("work")
    worker.step()

    assert list(job.refresh().outputs) == ["one.txt"]


def test_a_result_that_json_cannot_write_fails_the_job(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: {1, 2})
    job = queue.submit("work")
    worker.step()

    assert job.refresh().state is State.FAILED
    (error,) = job.errors
    assert error.kind == "InvalidData"
    assert error.message.startswith("the result cannot be written as JSON")
