"""Five hundred jobs in the embedded AWS: the real stacks, roles and worker processes."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from remotejob import RemoteJob
from remotejob.domain.batches import BatchState
from tests.deployed import deployed

SETTINGS = Path(__file__).with_name("remotejob.toml")
PATIENCE = 180.0
"""Seconds after which something is broken, on the slowest machine."""

MANY = 500


@pytest.mark.exhaustive
def test_five_hundred_rows_of_a_manifest_run_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with deployed(SETTINGS) as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        remote = RemoteJob.connect("batches", session=boto3.Session())
        rows = [f"{number},{'yes' if number % 100 == 7 else 'no'}" for number in range(MANY)]
        manifest = "\n".join(["number,fails", *rows])
        aws.client("s3").put_object(
            Bucket=remote.input_bucket, Key="jobs/rows.csv", Body=manifest.encode()
        )

        workers = [aws.start_worker() for _ in range(2)]
        try:
            address = f"s3://{remote.input_bucket}/jobs/rows.csv"
            batch = remote.queue().map("work", address, on_complete="summary")
            batch.wait(PATIENCE)
            follower = batch.on_complete
            assert follower is not None
            follower.wait(PATIENCE)
        finally:
            for one in workers:
                one.kill()
                one.wait()

    assert batch.state is BatchState.DONE
    assert (batch.counts.completed, batch.counts.failed) == (MANY - 5, 5)
    counts = {"total": MANY, "completed": MANY - 5, "failed": 5, "cancelled": 0}
    assert follower.result == {"id": batch.id, "name": None, **counts}
