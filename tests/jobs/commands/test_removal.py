"""A removal that is cut off anywhere, or whose answer is lost, leaves nothing behind."""

from __future__ import annotations

import itertools
from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import Job, JobNotFound, RemoteJob, RemoteJobError, Retry, RunningJob, State
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import CRASHES, ERRORS, Crash, Fault, Faults, Unreachable
from remotejob.testing.interception import intercepted
from remotejob.testing.late_writes import Late, LateWrites
from tests.lost_answers import LostAnswer

HOURS = timedelta(hours=3)


def failed(installation: Installation) -> Job:
    """A job with an input, an output, a traceback and a long log."""
    worker = Simulation(installation=installation)

    @worker.tasks.task("work", retry=Retry(max_attempts=1))
    def work(job: RunningJob) -> None:
        job.output("half.txt", b"made")
        for number in range(100):
            job.log(f"line {number}: " + "x" * 200)
        raise ValueError("no")

    job = RemoteJob(installation).queue().submit("work", body=b"photo", filename="a.jpg")
    worker.step()
    assert job.refresh().state is State.FAILED
    assert left_behind(installation, job) != []
    return job


def left_behind(installation: Installation, job: Job) -> list[str]:
    return [
        *(name for prefix in ("failure#", "log#") for name, _ in _notes(installation, job, prefix)),
        *installation.files.keys(Area.OUTPUT, f"{job.queue}/{job.id}/"),
        *installation.files.keys(Area.INPUT, f"jobs/default/{job.id}/"),
        *installation.files.keys(Area.INPUT, f"jobs/{job.id}/"),
    ]


def _notes(installation: Installation, job: Job, prefix: str) -> list[tuple[str, str]]:
    return list(installation.store.notes(job.id, prefix))


def marked(installation: Installation, clock: FakeClock) -> list[str]:
    return [
        mark.job_id
        for shard in range(16)
        for mark in installation.store.attention("removed", shard, until_ms=clock.now_ms())
    ]


def test_inputs_of_earlier_versions_are_removed_too() -> None:
    """Their keys did not name the queue."""
    installation = memory_installation(FakeClock())
    job = failed(installation)
    installation.files.put(Area.INPUT, f"jobs/{job.id}/a.jpg", b"photo")

    job.remove()

    assert left_behind(installation, job) == []


@pytest.mark.parametrize("again", [True, False], ids=["commanded again", "left to the sweep"])
@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS])
def test_a_removal_that_meets_a_fault_leaves_nothing_in_the_end(
    fault: Fault, *, again: bool
) -> None:
    for number in itertools.count(1):
        clock = FakeClock()
        installation = memory_installation(clock)
        job = failed(installation)
        faults = Faults(fault, at=number)
        theirs = RemoteJob(faults.process(installation, "manager"))
        with suppress(Crash, Unreachable, RemoteJobError):
            theirs.job(job.id).remove()
        gone = installation.store.get(job.id) is None
        if again:
            with suppress(JobNotFound):
                RemoteJob(installation).job(job.id).remove()
            gone = True
        clock.advance(HOURS)
        sweep(installation)

        assert (installation.store.get(job.id) is None) is gone
        if gone:
            assert left_behind(installation, job) == [], faults.report()
            assert marked(installation, clock) == []
        if faults.struck is None:
            assert number > 5
            return


@pytest.mark.parametrize("late", Late)
def test_a_removal_that_takes_effect_late_leaves_nothing_in_the_end(late: Late) -> None:
    for number in itertools.count(1):
        clock = FakeClock()
        installation = memory_installation(clock)
        job = failed(installation)
        writes = LateWrites(late, at=number)
        with suppress(Crash, Unreachable, RemoteJobError):
            RemoteJob(writes.process(installation, "manager")).job(job.id).remove()
        writes.arrive()
        clock.advance(HOURS)
        sweep(installation)

        if installation.store.get(job.id) is None:
            assert left_behind(installation, job) == [], writes.report()
            assert marked(installation, clock) == []
        if writes.struck is None:
            assert number > 2
            return


def test_an_answer_that_is_lost_is_no_error() -> None:
    clock = FakeClock()
    installation = memory_installation(clock)
    job = failed(installation)
    lost = LostAnswer("remove")

    RemoteJob(intercepted(installation, lost)).job(job.id).remove()

    assert lost.happened
    with pytest.raises(JobNotFound):
        RemoteJob(installation).job(job.id)
    assert left_behind(installation, job) == []
