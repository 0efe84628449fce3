"""What redis-dist-job-queue's users may rely on, where no other test shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, Retry, RunningJob, State
from remotejob.domain.check_times import GRACE
from remotejob.jobs.scheduler.tick import tick
from remotejob.settings import QueueSettings, SystemSettings
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.messages.handler import ProcessDeath
from remotejob.worker.worker import WorkerOptions
from tests.heritage.conftest import work_off

SECOND = timedelta(seconds=1)


def test_defaults_are_those_the_page_of_the_ancestors_tells() -> None:
    system, queue = SystemSettings(), QueueSettings(tasks=("work",))
    assert (system.name, system.lease_seconds, system.retention_days) == ("default", 60, 30)
    assert (queue.concurrency, queue.processes) == (4, 0)
    assert WorkerOptions(queue="default", name="one").grace == timedelta(seconds=100)


@pytest.mark.parametrize("lease", [timedelta(seconds=10), None])
def test_dead_workers_job_is_taken_over_when_the_timeout_of_its_task_has_passed(
    lease: timedelta | None, queue: Queue, remote: RemoteJob, worker: Simulation, clock: FakeClock
) -> None:
    timeout = lease or timedelta(seconds=60)
    runs = dies_at_first(worker, lease=lease, meanwhile=lambda: beats(worker, clock, timeout / 2))
    job = queue.submit("work")
    with suppress(ProcessDeath):
        worker.step()
    clock.advance(timeout - SECOND)
    assert remote.flush_stale() == 0

    # the margin for clocks that disagree is below three seconds
    clock.advance(4 * SECOND)
    assert remote.flush_stale() == 1
    work_off(worker)
    assert runs == [1, 2]
    assert job.refresh().state is State.COMPLETED


def test_scheduler_takes_over_a_dead_workers_job_whose_message_stays_away(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    lease = worker.installation.lease
    runs = dies_at_first(worker, meanwhile=lambda: beats(worker, clock, lease / 2))
    queue.submit("work")
    with suppress(ProcessDeath):
        worker.step()
    # the message of the dead run, which another receiver keeps hidden
    clock.advance(lease)
    assert len(worker.receive()) == 1
    assert tick(worker.installation)["rescued"] == 0

    clock.advance(GRACE)
    hidden = worker.receive()
    assert tick(worker.installation)["rescued"] == 1
    work_off(worker)
    assert len(hidden) == 1
    assert runs == [1, 2]


def test_receiver_of_a_dead_runs_message_takes_its_job_over_by_itself(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    runs = dies_at_first(worker)
    job = queue.submit("work")
    with suppress(ProcessDeath):
        worker.step()
    clock.advance(timedelta(seconds=59))
    work_off(worker)
    assert runs == [1]

    clock.advance(4 * SECOND)
    work_off(worker)
    assert runs == [1, 2]
    assert job.refresh().state is State.COMPLETED


def dies_at_first(
    worker: Simulation,
    *,
    lease: timedelta | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[int]:
    """Register a task whose first run dies; return its attempts."""
    runs: list[int] = []

    @worker.tasks.task("work", lease=lease)
    def work(job: RunningJob) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            meanwhile()
            raise ProcessDeath("the process dies here")
        return "done"

    return runs


def beats(worker: Simulation, clock: FakeClock, after: timedelta) -> None:
    clock.advance(after)
    worker.beat()


def test_job_that_fails_is_failed_and_goes_back_to_pending_when_it_is_retried(
    queue: Queue, worker: Simulation
) -> None:
    runs: list[object] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.data)
        if len(runs) < 3:
            raise ValueError("no")

    job = queue.submit("work", data={"the_string": "derp"})
    work_off(worker)
    assert [one.id for one in queue.failed()] == [job.id]
    queue.retry_failed()
    work_off(worker)
    assert [one.id for one in queue.failed()] == [job.id]
    queue.retry_failed()
    work_off(worker)

    assert queue.failed() == []
    assert runs == [{"the_string": "derp"}] * 3
    assert job.refresh().state is State.COMPLETED


def test_failed_jobs_of_another_queue_are_neither_listed_retried_nor_deleted(
    clock: FakeClock,
) -> None:
    installation = memory_installation(clock, queues={"default": ("work",), "other": ("work",)})
    ours, theirs = (RemoteJob(installation).queue(name) for name in installation.queues)
    job = ours.submit("work")
    worker = Simulation(installation=installation)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        raise ValueError("no")

    work_off(worker)
    assert [one.id for one in ours.failed()] == [job.id]
    assert theirs.failed() == []
    assert theirs.retry_failed().done == theirs.delete_failed().done == ()
    assert job.refresh().state is State.FAILED


def test_failed_job_that_is_retried_has_all_its_tries_again(
    queue: Queue, worker: Simulation
) -> None:
    runs: list[int] = []

    @worker.tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(0)))
    def work(job: RunningJob) -> None:
        runs.append(job.attempt)
        raise ValueError("no")

    queue.submit("work")
    work_off(worker)
    queue.retry_failed()
    work_off(worker)

    assert runs == [1, 2, 3, 4]


def test_process_that_only_submits_starts_no_worker() -> None:
    before = threading.active_count()
    remote = RemoteJob(memory_installation())

    job = remote.queue().submit("work")

    assert remote.workers() == []
    assert threading.active_count() == before
    assert job.refresh().state is State.READY


def test_job_without_a_resource_waits_for_no_other(queue: Queue, worker: Simulation) -> None:
    at_once: list[State] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == 1:
            # a second worker begins another while this one runs
            other = Simulation(installation=worker.installation, worker="other")
            other.tasks.task("work")(lambda job: None)
            second = queue.submit("work", data=2)
            work_off(other)
            at_once.append(second.refresh().state)

    queue.submit("work", data=1)
    work_off(worker)

    assert at_once == [State.COMPLETED]
