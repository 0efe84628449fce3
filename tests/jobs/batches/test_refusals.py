"""Batches on a table that is too busy: it leaves records out, or refuses transactions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from remotejob import Job, Queue, RemoteJob, State
from remotejob.client.batch import Batch
from remotejob.domain.batches import BatchState
from remotejob.domain.changes import Change
from remotejob.domain.errors import BatchUnfinished, StoreUnavailable
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from tests.jobs.batches.working import let_time_pass, work_off, worker_of

T = TypeVar("T")

GOOD = {"fail": False}
BAD = {"fail": True}


class LeavesOut:
    """A table that never takes the last record it is given at a time."""

    def __init__(self, installation: Installation) -> None:
        self._store = installation.store

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> Any:
        if name != "store.put_fresh":
            return function()
        *taken, left = arguments
        self._store.put_fresh(taken)
        raise StoreUnavailable(f"{left.id} was not taken")


class Crowded:
    """A table that refuses restarts: the first of all, or all of some jobs."""

    def __init__(self, *, times: int = 0, jobs: frozenset[str] = frozenset()) -> None:
        self._left, self._jobs = times, jobs
        self._lock = threading.Lock()
        self._at_a_time = 0
        self.most = 0
        """Restarts at a time, of those that were not refused."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        job_id = _restarted(arguments) if name == "store.transact" else None
        if job_id is None:
            return function()
        with self._lock:
            if self._left or job_id in self._jobs:
                self._left = max(self._left - 1, 0)
                raise StoreUnavailable("a transaction met others each time")
            self._at_a_time += 1
            self.most = max(self.most, self._at_a_time)
        try:
            return function()
        finally:
            with self._lock:
                self._at_a_time -= 1


def _restarted(steps: tuple[Any, ...]) -> str | None:
    changes = [step for step in steps if isinstance(step, Change)]
    ids = [one.job_id for one in changes if one.condition.name == "restart_counted"]
    return ids[0] if ids else None


def on_complete(batch: Batch) -> Job:
    job = batch.refresh().on_complete
    assert job is not None
    return job


def ended_badly(queue: Queue, worker: Simulation, count: int) -> Batch:
    batch = queue.map("work", [BAD] * count, on_complete="summary")
    work_off(worker)
    assert batch.refresh().counts.failed == count
    return batch


def seen_through(installation: Installation, batch: Batch, crowded: Crowded) -> Batch:
    return RemoteJob(intercepted(installation, crowded)).batch(batch.id)


def test_batch_of_which_a_child_was_not_stored_is_not_whole_and_says_so(
    installation: Installation, worker: Simulation, remote: RemoteJob, clock: FakeClock
) -> None:
    busy = RemoteJob(intercepted(installation, LeavesOut(installation))).queue()

    with pytest.raises(BatchUnfinished, match="was not taken") as unfinished:
        busy.map("work", [GOOD] * 3, on_complete="summary")

    assert isinstance(unfinished.value.__cause__, StoreUnavailable)
    assert unfinished.value.made == 2
    batch = remote.batch(unfinished.value.batch_id)
    assert not batch.whole
    let_time_pass(worker, clock, minutes=1)
    assert batch.refresh().state is BatchState.MAKING
    assert batch.progress == (2, 3)
    assert [job.state for job in batch.children()] == [State.COMPLETED] * 2

    batch.cancel()

    assert batch.state is BatchState.CANCELLED
    assert on_complete(batch).state is State.CANCELLED


def test_restarts_that_got_into_each_others_way_are_made_one_at_a_time_in_the_end(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    batch = ended_badly(queue, worker, 20)
    crowded = Crowded(times=20)

    seen_through(installation, batch, crowded).retry()

    assert crowded.most == 1
    assert batch.refresh().progress == (0, 20)
    work_off(worker_of(installation, failing=False))
    assert batch.refresh().counts.completed == 20
    assert on_complete(batch).result["batch"]["completed"] == 20


def test_retry_says_how_many_were_not_restarted_after_the_others(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    batch = ended_badly(queue, worker, 5)
    refused = [job.id for job in batch.children()][1:3]
    crowded = Crowded(jobs=frozenset(refused))

    with pytest.raises(StoreUnavailable, match=r"2 jobs of batch .* not restarted, and 3 were"):
        seen_through(installation, batch, crowded).retry()

    assert [job.id for job in batch.children("failed")] == refused
    assert batch.refresh().progress == (2, 5)

    # asked again, it restarts those that are left
    batch.retry()
    work_off(worker_of(installation, failing=False))
    assert batch.refresh().counts.completed == 5
