"""What other jobs, workers and the scheduler do to a job stands in its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, Queue, RemoteJob, RunningJob, State
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.domain.dependencies import LINES_OF_EDGES
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Crash
from remotejob.worker.runs.run import Run
from tests.jobs.history.lines import lines

MINUTE = timedelta(minutes=1)


@pytest.fixture
def queue(installation: Installation) -> Queue:
    """As somebody connected to it."""
    return RemoteJob(replace(installation, actor="ana@laptop")).queue()


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation)

    @simulation.tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == "fail":
            raise ValueError("no")

    return simulation


def work_off(worker: Simulation) -> None:
    while worker.step():
        pass


def test_dependency_that_completes_is_a_line_of_the_dependents_log(
    queue: Queue, worker: Simulation
) -> None:
    others = [queue.submit("work"), queue.submit("work")]
    job = queue.submit("work", depends=others)
    work_off(worker)

    assert job.refresh().state is State.COMPLETED
    assert {said for _, said in lines(job)} == {f"dependency resolved: {one.id}" for one in others}
    # a worker's own end of a run is carried out by the process it is in
    assert {line.level for line in job.logs()} == {"info"}


def test_job_that_waits_for_many_others_keeps_a_small_record(
    queue: Queue, worker: Simulation
) -> None:
    others = [queue.submit("work") for _ in range(LINES_OF_EDGES + 3)]
    job = queue.submit("work", depends=others)
    work_off(worker)

    assert job.refresh().state is State.COMPLETED
    assert len(lines(job)) == LINES_OF_EDGES


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_job_that_was_cancelled_names_the_job_that_caused_it(
    end: str, queue: Queue, worker: Simulation
) -> None:
    cause = queue.submit("work", data="fail")
    job = queue.submit("work", depends=[cause])
    if end == "cancelled":
        cause.cancel()
    work_off(worker)

    assert job.refresh().state is State.CANCELLED
    (line,) = job.logs()
    assert line.message == f"cancelled: job {cause.id}, which it depends on: {end}"
    assert line.level == "warning"


def test_job_cancelled_with_another_says_who_cancelled_that(queue: Queue) -> None:
    cause = queue.submit("work")
    job = queue.submit("work", depends=[cause])
    cause.cancel()

    assert lines(job) == [
        ("ana@laptop", f"cancelled: job {cause.id}, which it depends on: cancelled")
    ]


def test_jobs_restarted_with_each_other_all_say_so(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    cause = queue.submit("work", data="fail")
    job = queue.submit("work", depends=[cause])
    work_off(worker)
    clock.advance(MINUTE)
    job.restart()

    assert lines(cause) == [("ana@laptop", "restarted")]
    assert lines(job)[-1] == ("ana@laptop", "restarted")


def test_children_and_follower_of_a_batch_say_what_was_done_to_them(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [1, 2], on_complete="work")
    batch.cancel()
    clock.advance(MINUTE)
    batch.refresh().retry()
    clock.advance(MINUTE)
    work_off(worker)

    for child in batch.children():
        assert lines(child) == [("ana@laptop", "cancelled"), ("ana@laptop", "restarted")]
    follower = batch.refresh().on_complete
    assert follower is not None
    assert lines(follower)[-1][1] == f"dependency resolved: {batch.id}"


@pytest.mark.parametrize("again", [Job.rerun, Job.replay])
def test_new_job_says_which_one_it_runs_again(
    again: Callable[[Job], Job], queue: Queue, worker: Simulation
) -> None:
    job = queue.submit("work")
    work_off(worker)
    made = again(job)

    assert lines(made) == [("ana@laptop", f"submitted as a {again.__name__} of job: {job.id}")]
    assert lines(job) == []


def test_job_that_is_given_back_says_why(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    worker.handler.give_back(run, "the worker stops")

    assert job.refresh().state is State.READY
    assert lines(job) == [("simulated", "given back: the worker stops")]


def test_worker_that_dies_is_a_line_of_its_jobs_log(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    first = Simulation(installation=installation, worker="first")
    job = dies(queue, first)
    clock.advance(2 * MINUTE)
    second = Simulation(installation=installation, worker="second")
    second.tasks.task("work")(lambda job: None)
    second.step()

    assert job.refresh().state is State.COMPLETED
    assert lines(job) == [
        ("second", "crashed: worker first died, or fell silent until its lease ended")
    ]
    assert job.logs()[0].level == "danger"


def test_job_that_the_scheduler_fails_says_that_its_last_worker_crashed_too(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    job = dies(queue, worker)
    for _ in range(CRASH_BUDGET - 1):
        clock.advance(2 * MINUTE)
        with pytest.raises(Crash):
            worker.step()
    clock.advance(120 * MINUTE)
    sweep(replace(installation, actor="scheduler"))

    assert job.refresh().state is State.FAILED
    assert [actor for actor, said in lines(job) if said.startswith("crashed")] == [
        *["simulated"] * (CRASH_BUDGET - 1),
        "scheduler",
    ]


def test_lost_lease_of_a_worker_that_lives_is_no_crash(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    first = Simulation(installation=installation, worker="first")
    job = dies(queue, first)
    run_id = job.refresh().record.run_id
    assert run_id is not None
    clock.advance(2 * MINUTE)
    first.handler.lost_leases.note_claim(job.id, run_id, lease=MINUTE)
    first.handler.lost_leases.say(run_id)
    second = Simulation(installation=installation, worker="second")
    second.tasks.task("work")(lambda job: None)
    second.step()

    assert lines(job) == [("second", "lease lost: worker first lives")]


def test_crash_that_was_none_is_corrected(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    first = Simulation(installation=installation, worker="first")
    job = dies(queue, first)
    run_id = job.refresh().record.run_id
    assert run_id is not None
    clock.advance(2 * MINUTE)
    second = Simulation(installation=installation, worker="second")
    second.tasks.task("work")(lambda job: None)
    second.step()
    clock.advance(MINUTE)
    first.handler.lost_leases.note_claim(job.id, run_id, lease=MINUTE)
    first.handler.lost_leases.say(run_id)

    assert lines(job)[1:] == [("first", "it was no crash: the worker lives, and lost the lease")]


def dies(queue: Queue, worker: Simulation) -> Job:
    """A job whose worker dies while it runs it."""

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        raise Crash("dies")

    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    return job
