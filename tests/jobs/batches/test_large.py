"""Ten thousand jobs in one batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from remotejob import RemoteJob, State
from remotejob.domain.batches import BatchState
from remotejob.testing import FakeClock, memory_installation
from tests.aws import aws_installation, counted_requests
from tests.jobs.batches.working import QUEUES, work_off, worker_of

MANY = 10_000


@pytest.mark.exhaustive
def test_ten_thousand_jobs_are_made_worked_on_by_many_and_counted_once_each() -> None:
    installation = memory_installation(FakeClock(), queues=QUEUES)
    remote = RemoteJob(installation)
    # each fiftieth fails
    batch = remote.queue().map(
        "work", ({"fail": number % 50 == 0} for number in range(MANY)), on_complete="summary"
    )
    assert batch.progress == (0, MANY)

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(work_off, worker_of(installation)) for _ in range(4)]:
            one.result()

    assert batch.refresh().state is BatchState.DONE
    assert (batch.counts.completed, batch.counts.failed) == (MANY - MANY // 50, MANY // 50)
    assert batch.on_complete is not None
    assert batch.on_complete.result["batch"]["failed"] == MANY // 50

    batch.retry()
    work_off(worker_of(installation, failing=False))
    assert batch.refresh().counts.completed == MANY
    assert batch.on_complete is not None
    assert batch.on_complete.result["batch"]["completed"] == MANY


@pytest.mark.exhaustive
def test_ten_thousand_jobs_are_cancelled_as_one() -> None:
    installation = memory_installation(FakeClock(), queues=QUEUES)
    batch = RemoteJob(installation).queue().map("work", list(range(MANY)))

    batch.cancel()

    assert batch.state is BatchState.DONE
    assert batch.counts.cancelled == MANY
    assert sum(job.state is State.CANCELLED for job in batch.children()) == MANY


@pytest.mark.parametrize("follower", [None, "summary"])
def test_requests_of_a_batch_apart_from_its_jobs(follower: str | None) -> None:
    with aws_installation(FakeClock(), queues=QUEUES) as installation:
        worker = worker_of(installation)
        with counted_requests() as making:
            batch = RemoteJob(installation).queue().map("work", range(20), on_complete=follower)
        with counted_requests() as working:
            worker.step()
        with counted_requests() as looking:
            batch.refresh()

    # begun, a page, sealed; read to see whether it is complete already, and for what is returned
    assert making == {
        "TransactWriteItems": 2,
        "PutItem": 20,
        "SendMessageBatch": 2,
        "UpdateItem": 1,
        "Query": 2,
    }
    # ten jobs that end together are counted in one transaction
    assert batch.counts.done == 10
    assert working["TransactWriteItems"] == 1
    assert working["Query"] == 1
    assert looking == {"Query": 1}
