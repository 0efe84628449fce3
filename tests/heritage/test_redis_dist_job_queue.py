"""What redis-dist-job-queue's users may rely on, where no other test shows it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, RunningJob, State
from remotejob.settings import QueueSettings, SystemSettings
from remotejob.testing import FakeClock, Simulation
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
    runs: list[int] = []

    @worker.tasks.task("work", lease=lease)
    def work(job: RunningJob) -> str:
        runs.append(job.attempt)
        if len(runs) == 1:
            raise ProcessDeath("the process dies here")
        return "done"

    job = queue.submit("work")
    with suppress(ProcessDeath):
        worker.step()
    # the margin for clocks that disagree is below three seconds
    timeout = lease or timedelta(seconds=60)
    clock.advance(timeout - SECOND)
    work_off(worker)
    assert runs == [1]

    clock.advance(4 * SECOND)
    remote.flush_stale()
    # the message of the dead run may still be hidden for the system's own lease
    clock.advance(timedelta(seconds=60))
    work_off(worker)
    assert runs == [1, 2]
    assert job.refresh().state is State.COMPLETED


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
