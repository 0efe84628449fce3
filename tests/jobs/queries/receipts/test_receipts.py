"""Receipts: what they say is what was asked of AWS, and the dollars follow from it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Fatal, Job, Queue, RemoteJob, Retry, RunningJob, State, Submission
from remotejob.backends.aws.files import MULTIPART_FROM, S3Files
from remotejob.domain.usage import MULTIPART_FROM as COUNTED_FROM
from remotejob.jobs.scheduler.tick import tick
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.ports import Area, Installation, QueueDescription, WorkerSize
from remotejob.settings import parse
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.aws import aws_installation, counted_requests

MINUTE = timedelta(minutes=1)
SIZE = WorkerSize(cpu=2048, memory_mib=4096, jobs=4)


@pytest.fixture
def aws(clock: FakeClock) -> Iterator[Installation]:
    with aws_installation(clock) as made:
        yield made


def worker_of(installation: Installation, function: Any, **options: Any) -> Simulation:
    worker = Simulation(installation=installation)
    worker.tasks.task("work", **options)(function)
    return worker


def nothing(job: RunningJob) -> None:
    """Do it."""


def same_calls(job: Job, requests: dict[str, int], *, steps: int) -> None:
    """What the receipt says is what was sent, but for receives of lanes that were empty."""
    said = {line.operation: line.calls for line in job.refresh().receipt().lines}
    sent = dict(requests)
    sent["ReceiveMessage"] -= 2 * steps
    assert said == sent


def test_the_receipt_of_a_plain_job_is_what_was_sent(aws: Installation) -> None:
    worker = worker_of(aws, nothing)

    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work", data={"size": 3})
        worker.step()
        sent = dict(requests)

    same_calls(job, sent, steps=1)
    assert job.record.calls_json is None


def test_a_plain_job_keeps_nothing_for_its_receipt(
    installation: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> dict[str, int]:
        job.progress(1, 2)
        job.log("half way")
        clock.advance(timedelta(seconds=7))
        return {"n": 1}

    job = RemoteJob(installation).queue().submit("work")
    clock.advance(timedelta(seconds=2))
    worker_of(installation, work).step()

    assert job.refresh().record.calls_json is None
    receipt = job.receipt()
    assert (receipt.waited, receipt.running) == (timedelta(seconds=2), timedelta(seconds=7))
    assert (receipt.runs, receipt.write_units) == (1, 3)


def test_the_receipt_of_a_job_with_files_is_what_was_sent(aws: Installation) -> None:
    def work(job: RunningJob) -> str:
        with job.open() as stream:
            stream.read()
        job.output("copy", job.download())
        assert job.data
        # longer than the record takes
        return "x" * 5000

    worker = worker_of(aws, work)
    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work", body=b"a body", data="y" * 5000)
        worker.step()
        sent = dict(requests)

    assert (sent["GetObject"], sent["PutObject"]) == (3, 4)
    same_calls(job, sent, steps=1)


def test_the_receipt_of_a_job_in_parts_is_what_was_sent(aws: Installation) -> None:
    class Pipe(io.RawIOBase):
        """It cannot tell its size."""

        def __init__(self) -> None:
            self.left = [b"a" * 10]

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.left.pop() if self.left else b""

    def work(job: RunningJob) -> None:
        job.output("large", b"x" * (MULTIPART_FROM + 1))
        job.output("stream", Pipe())  # type: ignore[arg-type]

    worker = worker_of(aws, work)
    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work")
        worker.step()
        sent = dict(requests)

    assert (sent["UploadPart"], sent["HeadObject"]) == (3, 2)
    same_calls(job, sent, steps=1)


def test_parts_are_counted_as_the_store_makes_them(aws: Installation) -> None:
    assert isinstance(aws.files, S3Files)
    assert COUNTED_FROM == MULTIPART_FROM


def test_the_receipt_of_a_job_that_beats_is_what_was_sent(
    aws: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> None:
        job.log("a line that stays" * 100)
        for _ in range(3):
            clock.advance(timedelta(seconds=25))
            worker.beat()

    worker = worker_of(aws, work)
    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work")
        worker.step()
        sent = dict(requests)

    assert (sent["UpdateItem"], sent["ChangeMessageVisibilityBatch"]) == (5, 3)
    assert sent["PutItem"] == 2
    same_calls(job, sent, steps=1)


def test_the_receipt_of_a_job_that_is_tried_again_is_what_was_sent(
    aws: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> str:
        clock.advance(timedelta(seconds=10))
        if job.attempt < 3:
            raise ValueError("not yet")
        return "done"

    worker = worker_of(aws, work, retry=Retry(max_attempts=3, wait=MINUTE))
    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work")
        for _ in range(3):
            worker.step()
            clock.advance(MINUTE)
        sent = dict(requests)

    same_calls(job, sent, steps=3)
    receipt = job.receipt()
    assert receipt.runs == 3
    assert receipt.running == timedelta(seconds=30)
    assert receipt.waited == 2 * MINUTE


def test_the_receipt_of_a_job_that_failed_is_what_was_sent(
    aws: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> None:
        clock.advance(timedelta(seconds=10))
        raise Fatal("no")

    worker = worker_of(aws, work)
    with counted_requests() as requests:
        job = RemoteJob(aws).queue().submit("work")
        worker.step()
        sent = dict(requests)

    same_calls(job, sent, steps=1)
    assert job.state is State.FAILED
    assert job.receipt().running == timedelta(seconds=10)


def test_jobs_that_came_together_share_their_requests(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        job.output("one", b"byte")

    worker = worker_of(installation, work)
    jobs = RemoteJob(installation).queue().submit_many([Submission(task="work")] * 4)
    assert worker.step() == 4

    receipts = [job.refresh().receipt() for job in jobs]
    assert [receipt.calls("ReceiveMessage") for receipt in receipts] == [0.25] * 4
    assert sum(receipt.calls("DeleteMessageBatch") for receipt in receipts) == 1
    assert sum(receipt.calls("PutObject") for receipt in receipts) == 4


def test_a_run_whose_worker_died_counts_its_claim(
    installation: Installation, clock: FakeClock
) -> None:
    worker = worker_of(installation, nothing)
    job = RemoteJob(installation).queue().submit("work")
    (message,) = worker.receive()
    worker.handler.begin(message)
    clock.advance(5 * MINUTE)
    worker.step()

    receipt = job.refresh().receipt()
    assert job.state is State.COMPLETED
    assert receipt.runs == 2
    assert receipt.calls("UpdateItem") == 3
    assert receipt.running == timedelta(0)


def test_runs_before_and_after_a_restart_are_summed(
    installation: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> None:
        clock.advance(timedelta(seconds=10))
        if job.attempt == 1:
            raise Fatal("no")

    worker = worker_of(installation, work)
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    job.refresh().restart()
    worker.step()

    receipt = job.refresh().receipt()
    assert job.state is State.COMPLETED
    assert (receipt.runs, receipt.running) == (2, timedelta(seconds=20))


def test_a_cancelled_run_counts_its_time(installation: Installation, clock: FakeClock) -> None:
    def work(running: RunningJob) -> None:
        clock.advance(timedelta(seconds=30))
        RemoteJob(installation).job(running.id).cancel()
        worker.beat()

    worker = worker_of(installation, work)
    job = RemoteJob(installation).queue().submit("work")
    worker.step()

    receipt = job.refresh().receipt()
    assert job.state is State.CANCELLED
    assert receipt.running == timedelta(seconds=30)


def test_a_job_that_waits_has_a_receipt_so_far(
    installation: Installation, clock: FakeClock
) -> None:
    job = RemoteJob(installation).queue().submit("work", delay=MINUTE)
    clock.advance(timedelta(seconds=20))

    receipt = job.receipt()
    assert (receipt.runs, receipt.waited) == (0, timedelta(seconds=20))
    assert receipt.calls("UpdateItem") == 0


def test_the_run_under_way_counts_its_time(installation: Installation, clock: FakeClock) -> None:
    seen: list[timedelta] = []

    def work(running: RunningJob) -> None:
        clock.advance(timedelta(seconds=5))
        seen.append(RemoteJob(installation).job(running.id).receipt().running)

    RemoteJob(installation).queue().submit("work")
    worker_of(installation, work).step()
    assert seen == [timedelta(seconds=5)]


def sized(installation: Installation, size: WorkerSize | None) -> Queue:
    queues = {"default": QueueDescription(name="default", tasks=("work",), size=size)}
    return RemoteJob(replace(installation, queues=queues)).queue()


def test_compute_is_the_share_of_a_worker_that_is_full(clock: FakeClock) -> None:
    installation = memory_installation(clock)

    def work(job: RunningJob) -> None:
        clock.advance(timedelta(hours=1))
        worker.beat()

    # a long lease: nothing else is of interest
    installation = replace(installation, lease=timedelta(hours=2))
    job = sized(installation, SIZE).submit("work")
    worker = worker_of(installation, work)
    worker.step()

    compute = job.refresh().receipt().compute
    assert compute is not None
    assert (compute.vcpu_seconds, compute.gb_seconds) == (1800, 3600)
    assert compute.dollars == pytest.approx(0.5 * 0.04048 + 0.004445)


def test_dollars_are_without_compute_where_the_worker_is_not_known(
    installation: Installation,
) -> None:
    job = sized(installation, None).submit("work")
    worker_of(installation, nothing).step()

    receipt = job.refresh().receipt()
    assert receipt.compute is None
    # three writes of a KB, and four requests to SQS
    assert receipt.dollars == pytest.approx(3 * 0.625e-6 + 4 * 0.40e-6)
    assert "not known here" in str(receipt)


def test_files_and_tenants_cost_what_the_list_says(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        job.output("copy", job.download())

    worker = worker_of(installation, work)
    job = RemoteJob(installation).queue().submit("work", body=b"a body", tenant="t")
    worker.step()

    costs = job.refresh().receipt().dollars_by_service
    assert costs["S3"] == pytest.approx(2 * 0.005e-3 + 0.0004e-3)
    # the pending message is a tenant's; the two that were sent count as such
    assert costs["SQS"] == pytest.approx(4 * 0.40e-6 + 2 * 0.10e-6)


def test_a_receipt_reads_as_a_table_and_as_json(installation: Installation) -> None:
    job = sized(installation, SIZE).submit("work")
    worker_of(installation, nothing).step()
    receipt = job.refresh().receipt()

    text = str(receipt).splitlines()
    assert text[0] == f"job {job.id}, completed, 1 run"
    assert len({len(line) for line in text[1:-1]}) == 1
    assert text[-1].startswith("list prices of 2")
    shown = json.loads(json.dumps(receipt.as_dict()))
    assert {"service": "DynamoDB", "operation": "PutItem", "calls": 1} in shown["calls"]
    assert shown["dollars"]["total"] == receipt.dollars


def test_receipt_asks_for_nothing(aws: Installation) -> None:
    job = RemoteJob(aws).queue().submit("work")
    with counted_requests() as requests:
        job.receipt()
    assert not requests


def test_a_job_put_off_for_long_counts_what_the_scheduler_sends(
    aws: Installation, clock: FakeClock
) -> None:
    def work(job: RunningJob) -> None:
        if job.attempt == 1:
            raise ValueError("not yet")

    worker = worker_of(aws, work, retry=Retry(max_attempts=2, wait=60 * MINUTE))
    job = RemoteJob(aws).queue().submit("work")
    worker.step()
    while not job.refresh().ended:
        clock.advance(MINUTE)
        tick(aws)
        worker.step()

    receipt = job.receipt()
    # submit, the scheduler's, the status message
    assert receipt.calls("SendMessage") == 3
    assert receipt.calls("UpdateItem") == 5


def test_the_receipts_of_jobs_with_locks_and_dependencies_are_what_was_sent(
    aws: Installation,
) -> None:
    worker = worker_of(aws, nothing)
    queue = RemoteJob(aws).queue()
    with counted_requests() as requests:
        first = queue.submit("work", resource="printer", tenant="t")
        jobs = [first, queue.submit("work", depends=[first])]
        steps = 1
        while worker.step():
            steps += 1
        sent = dict(requests)

    said: Counter[str] = Counter()
    for job in jobs:
        assert job.refresh().state is State.COMPLETED
        said.update({line.operation: round(line.calls) for line in job.receipt().lines})
    # three lanes a step, of which a job was in one, twice
    sent["ReceiveMessage"] -= 3 * steps - 2
    assert said == sent


def test_an_upload_counts_the_function_that_made_its_job(installation: Installation) -> None:
    stored = installation.files.put(Area.INPUT, "photos/a.jpg", b"jpeg")
    upload = Upload(
        bucket=stored.bucket,
        key=stored.key,
        size=stored.size,
        etag=stored.etag,
        version=stored.version,
        sequencer=None,
        at_ms=installation.clock.now_ms(),
    )
    settings = parse({"queues": {"default": {"tasks": ["work"]}}, "routes": [{"task": "work"}]})
    record = ingest(upload, settings, installation)
    assert record is not None

    receipt = RemoteJob(installation).job(record.id).receipt()
    assert receipt.calls("Invoke") == 1
    assert receipt.calls("PutObject") == 0
    assert receipt.dollars_by_service["Lambda"] == pytest.approx(0.20e-6)
