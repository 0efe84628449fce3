"""What meteor-job's users may rely on, where no other test shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from remotejob import CommandRefused, Job, Queue, RemoteJob, Retry, RunningJob, State
from remotejob.client.many import Commanded
from remotejob.names import LOG_NOTES
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.heritage.conftest import QUEUES, work_off

ALLOWED: dict[str, Callable[[Job], object]] = {
    "pause": lambda job: None,
    "resume": Job.pause,
    "cancel": lambda job: None,
    "restart": Job.cancel,
    "remove": Job.cancel,
}
"""By the command, what a new job needs for it."""
REFUSED: dict[str, Callable[[Job], object]] = {
    "pause": Job.cancel,
    "resume": lambda job: None,
    "cancel": Job.cancel,
    "restart": lambda job: None,
    "remove": lambda job: None,
}
"""And what makes a new job refuse it."""

AFTERWARDS = {
    "pause": State.PAUSED,
    "resume": State.WAITING,
    "cancel": State.CANCELLED,
    "restart": State.WAITING,
}


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    """In memory: what both backends do alike is shown elsewhere."""
    return memory_installation(clock, queues=QUEUES)


def command_many(remote: RemoteJob, command: str, jobs: list[Job]) -> Commanded:
    commanded = getattr(remote, f"{command}_jobs")(jobs)
    assert isinstance(commanded, Commanded)
    return commanded


@pytest.mark.parametrize("command", ALLOWED)
def test_command_to_many_goes_on_where_one_refuses_and_says_which(
    remote: RemoteJob, queue: Queue, command: str
) -> None:
    jobs = [queue.submit("work", delay=timedelta(hours=1)) for _ in range(4)]
    first, refusing, *others = jobs
    for job in (first, *others):
        ALLOWED[command](job)
    REFUSED[command](refusing)
    before = refusing.refresh().state

    commanded = command_many(remote, command, jobs)

    assert [job.id for job in commanded.done] == [first.id, *(job.id for job in others)]
    assert list(commanded.refused) == [refusing.id]
    assert isinstance(commanded.refused[refusing.id], CommandRefused)
    assert refusing.refresh().state is before
    left = {job.id: job.state for job in remote.get_jobs(jobs) if job.id != refusing.id}
    assert left == ({} if command == "remove" else dict.fromkeys(left, AFTERWARDS[command]))
    assert len(left) == (0 if command == "remove" else 3)


@pytest.fixture
def chain(queue: Queue) -> list[Job]:
    """Three jobs, each of which waits for the one before."""
    jobs = [queue.submit("work", delay=timedelta(hours=1))]
    for _ in range(2):
        jobs.append(queue.submit("work", depends=jobs[-1:]))
    return jobs


def states(jobs: list[Job]) -> list[str]:
    return [str(job.refresh().state) for job in jobs]


def test_jobs_are_cancelled_with_their_dependents_and_without_their_antecedents(
    remote: RemoteJob, chain: list[Job]
) -> None:
    remote.cancel_jobs([chain[1]])
    assert states(chain) == ["waiting", "cancelled", "cancelled"]

    chain[1].restart(dependents=True)
    remote.cancel_jobs([chain[1]], antecedents=True)
    assert states(chain) == ["cancelled"] * 3


def test_jobs_are_restarted_with_their_antecedents_and_without_their_dependents(
    remote: RemoteJob, chain: list[Job]
) -> None:
    chain[0].cancel()
    assert states(chain) == ["cancelled"] * 3

    remote.restart_jobs([chain[1]])
    assert states(chain) == ["waiting", "waiting", "cancelled"]

    chain[0].cancel()
    remote.restart_jobs([chain[0]], dependents=True)
    assert states(chain) == ["waiting"] * 3


def test_removed_job_leaves_no_log_no_output_and_no_input(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(20):
            job.log(f"line {number}")
        job.output("made", b"made")

    def left(job: Job) -> list[object]:
        return [
            *installation.store.notes(job.id, LOG_NOTES),
            *installation.files.keys(Area.OUTPUT, f"default/{job.id}/"),
            *installation.files.keys(Area.INPUT, f"jobs/default/{job.id}/"),
        ]

    removed, kept = (queue.submit("work", body=b"photo") for _ in range(2))
    work_off(worker)
    assert len(left(removed)) == len(left(kept)) == 3

    removed.refresh().remove()

    assert left(removed) == []
    assert len(left(kept)) == 3


def test_record_of_a_job_has_all_of_it(queue: Queue, installation: Installation) -> None:
    retry, hour = Retry(max_attempts=3), timedelta(hours=1)
    job = queue.submit("work", body=b"photo", data=[1], retry=retry, delay=hour, tenant="acme")

    record = job.record
    assert record == installation.store.get(job.id)
    assert (record.data_json, record.tenant, record.retry) == ("[1]", "acme", retry)
    assert record.due_ms == record.created_ms + 3_600_000
    assert record.input == job.input is not None


def test_antecedents_of_several_calls_add_up(queue: Queue) -> None:
    first, second = queue.submit("work"), queue.submit("work")
    job = queue.new_job("work").depends(first).depends(second.id).save()
    assert job.depends == (first.id, second.id)
