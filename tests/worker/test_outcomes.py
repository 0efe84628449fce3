"""How a run ends, whatever its task raises and whatever fails around its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any, TypeVar

import pytest

from remotejob import (
    AccessProblem,
    Job,
    JobCancelled,
    RemoteJob,
    Retry,
    RunningJob,
    State,
    WorkerStopping,
)
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import Crash
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import RELEASES_FREE
from tests.progress import reported

T = TypeVar("T")


class Fails:
    """A network that fails some calls of a port, a number of times."""

    def __init__(
        self,
        name: str,
        *,
        times: int,
        condition: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self._name, self._left, self._condition = name, times, condition
        self._error = error or ConnectionError("the network is gone")

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        meant = name == self._name and (
            self._condition is None or arguments[0].condition.name == self._condition
        )
        if meant and self._left:
            self._left -= 1
            raise self._error
        return function()


class CannotSay(Exception):
    def __str__(self) -> str:
        raise ValueError("nor can this")


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


def ran(installation: Installation, work: Callable[[RunningJob], Any]) -> Job:
    """A job that a worker has run once."""
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(work)
    job = RemoteJob(installation).queue().submit("work")
    worker.step()
    return job.refresh()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncio.CancelledError(), "CancelledError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"),
        (CannotSay(), "CannotSay"),
        (JobCancelled("not needed"), "JobCancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_a_task_raises_fails_its_run(
    installation: Installation, error: BaseException, kind: str
) -> None:
    def work(job: RunningJob) -> None:
        raise error

    job = ran(installation, work)

    assert job.state is State.FAILED
    assert job.errors[-1].kind == kind
    assert job.errors[-1].message


def test_an_outcome_that_was_not_taken_is_tried_again(installation: Installation) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> str:
        runs.append(job.run_id)
        return "done"

    network = Fails("store.update", times=3, condition="own_run")
    job = ran(intercepted(installation, network), work)

    assert job.result == "done"
    assert len(runs) == 1


def test_an_outcome_that_is_denied_is_tried_again_while_the_run_is_ours(
    installation: Installation,
) -> None:
    """Credentials are renewed, and policies take a while to hold."""
    network = Fails("store.update", times=3, condition="own_run", error=AccessProblem("denied"))

    job = ran(intercepted(installation, network), lambda job: "done")

    assert (job.result, job.attempt) == ("done", 1)


def test_a_run_fails_though_its_traceback_cannot_be_kept(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        raise ValueError("the reason")

    job = ran(intercepted(installation, Fails("store.put_note", times=99)), work)

    assert job.state is State.FAILED
    assert job.errors[-1].message == "the reason"


def test_a_run_completes_though_its_log_cannot_be_kept(installation: Installation) -> None:
    def work(job: RunningJob) -> str:
        for number in range(50):
            job.log(f"line {number}")
        return "done"

    job = ran(intercepted(installation, Fails("store.put_note", times=99)), work)

    assert job.result == "done"
    assert job.logs()[-1].message == "line 49"


def test_a_result_that_s3_refuses_fails_the_run(installation: Installation) -> None:
    refused = Fails("files.put", times=99, error=AccessProblem("not allowed"))
    job = ran(intercepted(installation, refused), lambda job: "long" * 10_000)

    assert job.state is State.FAILED
    assert job.errors[-1].kind == "AccessProblem"


def test_a_long_log_of_long_lines_is_kept_whole(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        for number in range(60):
            job.log(f"{number} " + "x" * 9_000, data={"part": "y" * 4_000})

    job = ran(installation, work)

    assert job.state is State.COMPLETED
    assert [line.message.split()[0] for line in job.logs()] == [str(n) for n in range(60)]
    sizes = [len(text) for _, text in installation.store.notes(job.id, "log#")]
    assert max(sizes) < 400_000, "what DynamoDB takes in one item"


def test_a_second_runs_log_is_listed_with_that_of_a_run_that_died(
    installation: Installation, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    runs: list[str] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.run_id)
        for number in range(8):
            job.log(f"run {len(runs)}, line {number}")
        if len(runs) == 1:
            (run,) = worker.runs.running()
            run.reporter.report()  # its notes are written, and the heartbeat never is
            raise Crash("the worker dies")

    job = RemoteJob(installation).queue().submit("work")
    with pytest.raises(Crash):
        worker.step()
    clock.advance(timedelta(minutes=2))
    Simulation(installation=installation, tasks=worker.tasks).step()

    told = [line.message for line in job.refresh().logs()]
    first, second = ([f"run {run}, line {number}" for number in range(8)] for run in (1, 2))
    crashed = "crashed: worker simulated died, or fell silent until its lease ended"
    assert job.state is State.COMPLETED
    assert told == [*first, crashed, *second]


def test_a_heartbeat_on_its_way_takes_nothing_from_the_last_report(
    installation: Installation,
) -> None:
    worker = Simulation(installation=installation)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        job.progress(3, 4)
        job.log("the last line")
        (run,) = worker.runs.running()
        run.reporter.report()  # taken by a heartbeat that will be refused

    job = RemoteJob(installation).queue().submit("work")
    worker.step()

    assert reported(job.refresh()) == (3, 4)
    assert [line.message for line in job.logs()] == ["the last line"]


def test_a_job_given_back_too_often_counts_it_as_a_failure(installation: Installation) -> None:
    record = RemoteJob(installation).queue().submit("work").record
    seen = replace(record, id=record.id[:-1] + ("A" if record.id[-1] != "A" else "B"))
    installation.store.put_new(replace(seen, releases=RELEASES_FREE))
    worker = Simulation(installation=installation)

    @worker.tasks.task("work", retry=Retry(max_attempts=1))
    def work(job: RunningJob) -> None:
        (run,) = worker.runs.running()
        run.stop_signal.set(WorkerStopping("the worker is stopping"))

    send_for([seen], installation)
    worker.step()
    often, first = installation.store.get(seen.id), installation.store.get(record.id)

    assert first is not None
    assert (first.state, first.failures, first.releases) == (State.READY, 0, 1)
    assert often is not None
    assert (often.state, often.failures) == (State.FAILED, 1)


def test_a_job_kills_at_most_as_many_workers_as_its_budget_allows(
    installation: Installation, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    deaths = 0

    @worker.tasks.task("work", retry=Retry(max_attempts=100))
    def work(job: RunningJob) -> None:
        nonlocal deaths
        deaths += 1
        raise Crash("poison")

    job = RemoteJob(installation).queue().submit("work")
    while not job.refresh().ended:
        try:
            worker.step()
        except Crash:
            worker = Simulation(installation=installation, tasks=worker.tasks)
        clock.advance(timedelta(minutes=2))

    assert deaths == 3
    died = "the worker died 3 times while it ran this job"
    assert job.errors[-1].message.startswith(died)
    assert (job.record.crashes, job.record.failures) == (3, 0)


def test_a_buffer_that_stands_at_its_end_is_refused(installation: Installation) -> None:
    def work(job: RunningJob) -> None:
        buffer = BytesIO()
        buffer.write(b"content")
        job.output("a.txt", buffer)

    job = ran(installation, work)

    assert job.state is State.FAILED
    assert "call seek(0) first" in job.errors[-1].message
