"""Requests and CPU for one job on the happy path, on the deployed template.

Requests are counted where they arrive, retries included. CPU seconds are those of the submitting
process and of the worker process, without start-up; good to about 40 % on a shared machine, so
compare within one run alone.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from benchmarks.report import console, table
from remotejob import Queue, RemoteJob, State, Submission
from remotejob.cli.local import synthesize
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.workers import Worker

BODY = os.urandom(10_240)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One way of submitting, and the worker's part of the same jobs."""

    name: str
    jobs: int
    submit_requests: Counter[str]
    submit_cpu: float
    worker_requests: Counter[str]
    worker_cpu: float | None
    record_bytes: int


def run(jobs: int) -> list[Measured]:
    """Measure plain jobs one by one and in bulk, and jobs with a body and an output."""
    assembly = synthesize(Path("benchmarks/remotejob.toml"), Path("build/bench/cdk.out"))
    with EmbeddedAws.for_assembly(assembly, cache=Path("build/bench/assets")) as aws:
        aws.deploy(assembly)
        os.environ.update(aws.environment())
        queue = RemoteJob.connect("bench", session=boto3.Session()).queue()
        return [
            _measure(aws, queue, "one by one, no body", jobs, _one_by_one),
            _measure(aws, queue, "in bulk, no body", jobs, _in_bulk),
            _measure(aws, queue, "one by one, 10 KB body, one output", jobs // 5, _with_body),
        ]


def show(measured: list[Measured]) -> None:
    """Print the counts."""
    for side in ("submit", "worker"):
        counts: list[Counter[str]] = [getattr(one, f"{side}_requests") for one in measured]
        operations = sorted({operation for counted in counts for operation in counted})
        rows = [
            [
                operation,
                *(f"{c[operation] / m.jobs:.3f}" for c, m in zip(counts, measured, strict=True)),
            ]
            for operation in operations
        ]
        totals = [
            f"{sum(counted.values()) / one.jobs:.3f}"
            for counted, one in zip(counts, measured, strict=True)
        ]
        cpu = [
            "n/a" if (seconds := getattr(one, f"{side}_cpu")) is None else f"{seconds:.2f}"
            for one in measured
        ]
        table(
            f"{side}: requests a job",
            [side, *(f"{one.name} ({one.jobs})" for one in measured)],
            [*rows, ["all", *totals], ["CPU s per 1,000 jobs", *cpu]],
        )
    table(
        "the record",
        ["", *(one.name for one in measured)],
        [["bytes when completed", *(f"{one.record_bytes:,}" for one in measured)]],
    )


def _one_by_one(queue: Queue, count: int) -> None:
    for _ in range(count):
        queue.submit("nothing")


def _in_bulk(queue: Queue, count: int) -> None:
    queue.submit_many([Submission(task="nothing") for _ in range(count)])


def _with_body(queue: Queue, count: int) -> None:
    for _ in range(count):
        queue.submit("copy", body=BODY, filename="body.bin")


def _measure(aws: EmbeddedAws, queue: Queue, name: str, count: int, submit: Any) -> Measured:
    # what is done once for a process is not the jobs'
    submit(queue, 1)
    aws.reset_requests()
    began = time.process_time()
    submit(queue, count)
    submit_cpu = time.process_time() - began
    submit_requests = _operations(aws, "")
    worker = aws.start_worker()
    warm = _cpu(worker)
    aws.reset_requests()
    newest = _all_ended(queue, count + 1)
    worker_cpu = _cpu(worker)
    worker_requests = _operations(aws, "workers")
    worker.terminate()
    worker.wait()
    spent = None if warm is None or worker_cpu is None else (worker_cpu - warm) * 1000 / count
    return Measured(
        name=name,
        jobs=count,
        submit_requests=submit_requests,
        submit_cpu=submit_cpu * 1000 / count,
        worker_requests=worker_requests,
        worker_cpu=spent,
        record_bytes=newest,
    )


def _operations(aws: EmbeddedAws, role: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (_service, operation, who), count in aws.requests().items():
        if role in who.lower():
            counted[operation] += count
    return counted


def _all_ended(queue: Queue, count: int) -> int:
    """Wait until the newest jobs have all ended; the size of the last record."""
    while True:
        jobs = queue.jobs(limit=count)
        if all(job.ended for job in jobs):
            break
        time.sleep(0.2)
    failed = [job for job in jobs if job.state is not State.COMPLETED]
    if failed:
        console.print(f"{len(failed)} jobs did not complete: {failed[0].errors}", style="red")
    return max(item_bytes(job.record.to_item()) for job in jobs)


def item_bytes(item: Any) -> int:
    """Size of an item as DynamoDB counts it: names and values, a number a byte for two digits.

    Source: Amazon DynamoDB, "DynamoDB item sizes and formats".
    """
    size = 0
    for name, value in item.items():
        size += len(name.encode())
        size += len(str(value)) // 2 + 2 if isinstance(value, int) else len(str(value).encode())
    return size


def _cpu(worker: Worker) -> float | None:
    """CPU seconds of the worker's process so far, where the system tells."""
    try:
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
