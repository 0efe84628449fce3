"""Every write pays for the whole record, by the KB: on the happy path it stays under one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from remotejob import Queue, RemoteJob, State
from remotejob.backends.memory import MemoryFiles
from remotejob.domain.conditions import Item
from remotejob.ports import Area, Installation, Stored
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation

ONE_WRITE_UNIT = 1024
BUCKET = "remotejob-default-storage-inputbucket3bf8630a-1qqzgp7xkwy0d"
"""As long as CloudFormation makes them."""
VERSION = "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH"
WORKER = "ip-10-0-12-34.eu-central-1.compute.internal.1"


class LongNames(MemoryFiles):
    """Buckets and versions named as at AWS."""

    def bucket(self, area: Area) -> str:
        return BUCKET if area is Area.INPUT else super().bucket(area)

    def put(self, *arguments: Any, **options: Any) -> Stored:
        return replace(super().put(*arguments, **options), version=VERSION)


def size(item: Item) -> int:
    """As DynamoDB counts. Source: Amazon DynamoDB, "DynamoDB item sizes and formats"."""

    def value(held: object) -> int:
        if isinstance(held, frozenset):
            return 3 + sum(1 + value(one) for one in held)
        if isinstance(held, int):
            return 1 + (len(str(abs(held)).rstrip("0")) + 1) // 2
        return len(str(held).encode())

    return sum(len(name.encode()) + value(held) for name, held in item.items())


def test_the_record_of_a_usual_job_costs_one_write_unit_each_time(
    installation: Installation, clock: FakeClock, tasks: Registry
) -> None:
    installation = replace(installation, files=LongNames())
    # a time that ends in zeros is shorter than others
    clock.advance(timedelta(milliseconds=777))
    sizes: dict[str, int] = {}
    store = installation.store

    @tasks.task("work")
    def work(job: RunningJob) -> dict[str, list[int] | int]:
        record = store.get(job.id)
        assert record is not None
        sizes["claimed"] = size(record.to_item())
        job.progress(1, 3)
        job.log("IMG_20260115_120000.jpg: 6016x4016 became 400x267")
        clock.advance(timedelta(seconds=20))
        worker.beat()
        record = store.get(job.id)
        assert record is not None
        assert record.attention is not None
        sizes["beating"] = size(record.to_item())
        job.output("IMG_20260115_120000.png", b"png" * 1000)
        job.progress(3, 3)
        return {"from": [6016, 4016], "to": [400, 267], "bytes": 123_456}

    worker = Simulation(installation=installation, tasks=tasks, worker=WORKER)
    queue = RemoteJob(installation).queue()
    job = queue.submit("work", body=b"jpeg", filename="IMG_20260115_120000.jpg", data={"size": 400})
    sizes["submitted"] = size(job.record.to_item())
    worker.step()

    record = job.refresh().record
    assert record.state is State.COMPLETED
    assert record.outputs_json
    assert record.log_json
    sizes["completed"] = size(record.to_item())
    assert set(sizes) == {"submitted", "claimed", "beating", "completed"}
    assert max(sizes.values()) < ONE_WRITE_UNIT, sizes


def test_a_talkative_job_costs_little_more(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(500):
            job.log(f"line {number}: " + "é" * 500)

    job = queue.submit("work")
    worker.step()

    assert size(job.refresh().record.to_item()) < ONE_WRITE_UNIT


def test_the_size_is_counted_as_dynamodb_does() -> None:
    assert size({"ab": "ü"}) == 4
    assert size({"n": 1_768_478_400_001}) == 1 + 1 + 7
    assert size({"n": 1_768_478_400_000}) == 1 + 1 + 4
    assert size({"n": 0}) == 2
