"""A worker whose disk is full takes no jobs, says so, cleans up, and gives itself up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import RemoteJob, RunningJob, State, Submission
from remotejob.backends.clock import SystemClock
from remotejob.jobs.queries.why import Why
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock
from remotejob.worker.lifecycle.disk_space import DiskSpace
from tests.worker.lifecycle.working import awaited, ended, working

GIB = 1024**3
SECOND = timedelta(seconds=1)


@dataclass
class Disk:
    """A disk as a test has it."""

    total: int = 20 * GIB
    free: int = 20 * GIB
    problem: OSError | None = None

    def __call__(self, folder: Path) -> Disk:
        if self.problem is not None:
            raise self.problem
        return replace(self)


class Fast(SystemClock):
    """A clock on which an hour takes some seconds."""

    def monotonic(self) -> float:
        return super().monotonic() * 1000


def space(
    disk: Disk,
    clock: FakeClock,
    percent: int = 10,
    *,
    clean: Callable[[], object] = lambda: None,
) -> DiskSpace:
    return DiskSpace(clock=clock, min_free_percent=percent, probe=disk, clean=clean)


@pytest.mark.parametrize(
    ("percent", "free", "inputs", "short"),
    [
        (10, 2 * GIB, (), False),
        (10, 2 * GIB - 1, (), True),
        (10, 0, (), True),
        (0, 0, (), False),
        (50, 9 * GIB, (), True),
        (10, 3 * GIB, (2 * GIB,), True),
        (10, 4 * GIB, (2 * GIB, 1), False),
        # no input may make a worker ask for more than half of its disk
        (10, 10 * GIB, (19 * GIB,), False),
        (10, 10 * GIB - 1, (19 * GIB,), True),
    ],
)
def test_disk_is_short_below_a_part_of_it_or_twice_the_largest_recent_input(
    clock: FakeClock,
    percent: int,
    free: int,
    inputs: tuple[int, ...],
    short: bool,  # noqa: FBT001
) -> None:
    watched = space(Disk(free=free), clock, percent)
    for size in inputs:
        watched.expects(size)
    assert (watched.look() is not None) is short


def test_only_recent_inputs_count(clock: FakeClock) -> None:
    watched = space(Disk(free=3 * GIB), clock)
    watched.expects(2 * GIB)
    assert watched.look() is not None
    for _ in range(100):
        watched.expects(1)
    assert watched.look() is None


def test_shortage_says_how_much_is_free_and_what_to_do(clock: FakeClock) -> None:
    shortage = space(Disk(free=GIB), clock).look()
    assert shortage is not None
    assert "1,024 MiB of 20,480 MiB are free" in shortage
    assert "min_free_disk_percent" in shortage


def test_it_cleans_first_and_is_not_short_if_that_helps(clock: FakeClock) -> None:
    disk, cleaned = Disk(free=GIB), []

    def clean() -> None:
        cleaned.append("once")
        disk.free = 5 * GIB

    assert space(disk, clock, clean=clean).look() is None
    assert cleaned == ["once"]


def test_after_a_run_ran_out_of_space_it_leaves_jobs_to_others_for_a_while(
    clock: FakeClock,
) -> None:
    watched = space(Disk(), clock)
    watched.ran_out()
    assert watched.look() is not None
    clock.advance(10 * SECOND)
    assert watched.look() is None


def test_it_is_hopeless_once_it_was_short_for_a_minute(clock: FakeClock) -> None:
    disk = Disk(free=GIB)
    watched = space(disk, clock)
    watched.look()
    clock.advance(59 * SECOND)
    watched.look()
    early = watched.hopeless
    clock.advance(SECOND)
    late = watched.hopeless
    assert (early, late) == (False, True)
    disk.free = 5 * GIB
    watched.look()
    hopeless = watched.hopeless
    assert not hopeless


def test_disk_that_cannot_be_measured_stops_nobody(clock: FakeClock) -> None:
    assert space(Disk(problem=OSError(errno.EIO, "broken")), clock).look() is None


# A worker with its threads


def is_short(remote: RemoteJob) -> bool:
    return any(status.shortage is not None for status in remote.workers())


def test_worker_with_a_full_disk_takes_no_job_and_says_so_until_there_is_room(
    installation: Installation, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    tasks.task("work")(lambda job: "done")
    remote, disk = RemoteJob(installation), Disk(free=GIB)
    with working(installation, tasks, disk_probe=disk):
        awaited(installation, lambda: remote.workers(), what="its first sign")
        (status,) = remote.workers()
        assert status.alive
        assert not status.takes_jobs
        job = remote.queue().submit("work")
        why = job.why()
        assert why.code is Why.DISK_FULL
        assert "1,024 MiB of 20,480 MiB are free" in why.text
        assert job.refresh().state is State.READY
        assert "taking no jobs" in caplog.text

        disk.free = 10 * GIB
        assert ended(job, installation).result == "done"
        awaited(installation, lambda: remote.workers()[0].takes_jobs, what="a sign of room")


def test_worker_whose_disk_fills_up_fails_no_job_for_good(
    installation: Installation, tasks: Registry
) -> None:
    disk, found_full = Disk(), []

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        if job.data == 10:
            disk.free = 0
        if disk.free < GIB:
            found_full.append(job.id)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return "done"

    remote = RemoteJob(installation)
    jobs = remote.queue().submit_many([Submission(task="work", data=n) for n in range(40)])
    with working(installation, tasks, disk_probe=disk, concurrency=4):
        awaited(installation, lambda: is_short(remote), what="a sign that it takes no more")

    assert len(found_full) <= 4, "those that ran at that time"
    assert {job.refresh().state for job in jobs} == {State.COMPLETED, State.READY}


@pytest.mark.exhaustive
def test_worker_with_a_full_disk_gives_itself_up_when_no_job_runs(
    installation: Installation, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    tasks.task("work")(lambda job: "done")
    system = replace(installation, clock=Fast())
    with working(system, tasks, disk_probe=Disk(free=GIB)) as worker:
        assert worker.ended()
        assert worker.worker.gave_up is not None
    assert "giving up: the disk" in caplog.text


@pytest.mark.exhaustive
def test_worker_with_a_full_disk_lets_its_running_jobs_end(
    installation: Installation, tasks: Registry
) -> None:
    disk = Disk()
    system = replace(installation, clock=Fast(), lease=timedelta(days=1))

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        disk.free = GIB
        awaited(installation, lambda: is_short(remote), what="a sign of it")
        return "done"

    remote = RemoteJob(installation)
    with working(system, tasks, disk_probe=disk) as worker:
        job = remote.queue().submit("work")
        assert ended(job, installation).state is State.COMPLETED
        assert worker.ended()
        assert worker.worker.gave_up is not None
