"""A run that found the disk full: the job is given back once, and then fails with the reason."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Fatal, Job, RemoteJob, Retry, RunningJob, State
from remotejob.ports import Installation
from remotejob.tasks import registry
from remotejob.testing import Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.executors.executors import Executors
from remotejob.worker.runs.no_space import lacked_space
from tests.worker.runs import full_disk

T = TypeVar("T")

Raises = Callable[[], object]


def raise_plain(number: int = errno.ENOSPC) -> None:
    raise OSError(number, os.strerror(number), "/tmp/work")


def raise_quota() -> None:
    raise_plain(errno.EDQUOT)


def raise_as_cause() -> None:
    try:
        raise_plain()
    except OSError as problem:
        raise RuntimeError("cannot write the page") from problem


def raise_as_context() -> None:
    try:
        raise_plain()
    except OSError:
        raise RuntimeError("cannot write the page")  # noqa: B904 (as people write it)


def raise_deeply() -> None:
    try:
        raise_as_context()
    except RuntimeError as problem:
        raise ValueError("no page") from problem


def raise_as_fatal() -> None:
    try:
        raise_plain()
    except OSError as problem:
        raise Fatal("cannot write the page") from problem


def raise_in_a_group() -> None:
    try:
        raise_as_cause()
    except RuntimeError as problem:
        raise ExceptionGroup("two went wrong", [ValueError("another"), problem])  # noqa: B904


def raise_of_sqlite() -> None:
    problem = sqlite3.OperationalError("database or disk is full")
    problem.sqlite_errorcode = 13
    raise problem


FULL = (
    raise_plain,
    raise_quota,
    raise_as_cause,
    raise_as_context,
    raise_deeply,
    raise_as_fatal,
    raise_in_a_group,
    raise_of_sqlite,
)


class FullDisk:
    """Files that find no space."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if name in ("files.download", "files.put"):
            raise_plain()
        return function()


def counts(job: Job) -> tuple[State, int, int]:
    record = job.refresh().record
    return record.state, record.attempt, record.failures


@pytest.mark.parametrize("raises", FULL, ids=lambda one: one.__name__)
def test_full_disk_gives_the_job_back_once_and_then_fails_it(
    installation: Installation, worker: Simulation, raises: Raises
) -> None:
    worker.tasks.task("work")(lambda job: raises())
    job = RemoteJob(installation).queue().submit("work")

    worker.step()
    assert counts(job) == (State.READY, 0, 0)
    assert [line.message for line in job.logs()] == [
        "given back: the disk of worker simulated is full"
    ]
    worker.step()
    assert counts(job) == (State.FAILED, 1, 1)
    assert "the disk was full in another run of this job too" in job.errors[-1].message


def test_job_that_found_one_disk_full_completes_elsewhere(
    installation: Installation, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: raise_plain())
    job = RemoteJob(installation).queue().submit("work")
    worker.step()

    other = Simulation(installation=installation, worker="w2")
    other.tasks.task("work")(lambda job: "done")
    other.step()

    assert counts(job) == (State.COMPLETED, 1, 0)


def test_other_errors_of_the_system_are_failures_of_the_job(
    installation: Installation, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: raise_plain(errno.EACCES))
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    assert counts(job) == (State.FAILED, 1, 1)
    assert "disk" not in job.errors[-1].message


def test_second_full_disk_is_retried_as_the_policy_says(
    installation: Installation, worker: Simulation
) -> None:
    worker.tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(minutes=1)))(
        lambda job: raise_plain()
    )
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    worker.step()
    assert counts(job) == (State.WAITING, 1, 1)


def test_restarted_job_may_find_a_full_disk_once_more(
    installation: Installation, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: raise_plain())
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    worker.step()
    job.restart()
    worker.step()
    assert counts(job)[::2] == (State.READY, 0)


@pytest.mark.parametrize("call", ["download", "output"])
def test_full_disk_in_the_librarys_own_code_gives_the_job_back(
    installation: Installation, call: str
) -> None:
    worker = Simulation(installation=intercepted(installation, FullDisk()))

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        if call == "download":
            job.download()
        job.output("a.txt", b"a")

    job = RemoteJob(installation).queue().submit("work", body=b"page", filename="p.txt")
    worker.step()
    assert counts(job) == (State.READY, 0, 0)


@pytest.fixture
def executors() -> Iterator[Executors]:
    tasks = [
        registry["full-disk-thread"],
        registry["full-disk-process"],
        registry["full-disk-loop"],
    ]
    made = Executors(tasks)
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.mark.parametrize("how", ["plain", "wrapped", "wrapped-in-fatal"])
@pytest.mark.parametrize("where", ["thread", "process", "loop"])
def test_full_disk_is_known_wherever_the_task_runs(
    executors: Executors, where: str, how: str
) -> None:
    task = f"full-disk-{where}"
    system = full_disk.system(task)
    worker = Simulation(installation=system, tasks=registry, call=executors.run)
    job = RemoteJob(system).queue().submit(task, data=how)
    worker.step()
    assert counts(job) == (State.READY, 0, 0)
    worker.step()
    assert counts(job)[::2] == (State.FAILED, 1)


def test_full_disk_of_the_worker_is_known_in_a_childs_download(executors: Executors) -> None:
    task = "full-disk-process"
    system = full_disk.system(task)

    worker = Simulation(
        installation=intercepted(system, FullDisk()), tasks=registry, call=executors.run
    )
    job = RemoteJob(system).queue().submit(task, data="download", body=b"page", filename="p.txt")
    worker.step()
    assert counts(job) == (State.READY, 0, 0)


def test_a_chain_of_errors_that_is_a_ring_has_an_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__context__, second.__context__ = second, first
    assert not lacked_space(first)
    assert not lacked_space(asyncio.CancelledError())
