"""Jobs that must not run again by themselves: a run that has begun is their last."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Job, Queue, RemoteJob, Retry, State
from remotejob.domain.errors import ProcessDied, WorkerStopping
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.holder import JobHolder
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Crash
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import RELEASES_FREE
from remotejob.worker.runs.run import Run

PAST_THE_LEASE = timedelta(seconds=65)
AGAIN = Retry(max_attempts=5, wait=timedelta(0))
REMEDY = "it must not run again by itself (crashes=0); look at what it did, then restart it"

Part = Callable[[RunningJob], Any]


class Work:
    """What the task does, and which runs of it began."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.part: Part = lambda job: "done"

    def __call__(self, job: RunningJob) -> Any:
        self.runs.append(job.run_id)
        return self.part(job)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def tasks(work: Work) -> Registry:
    tasks = Registry()
    tasks.task("work", crashes=0, retry=AGAIN)(lambda job: work(job))
    return tasks


def crash(_: RunningJob) -> None:
    raise Crash("the task brings its worker down")


def failed_for_good(job: Job, kind: str) -> bool:
    """Whether it failed, says what to do, and nothing runs it again."""
    job.refresh()
    assert job.errors[-1].message.endswith(REMEDY), job.errors
    return job.state is State.FAILED and job.errors[-1].kind == kind


def play_on(worker: Simulation, clock: FakeClock) -> None:
    """Let the system do what it would do by itself."""
    for _ in range(4):
        clock.advance(PAST_THE_LEASE)
        tick(worker.installation)
        worker.step()


def test_worker_that_dies_fails_the_job(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    work.part = crash
    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    assert job.refresh().crash_limit == 0, "the claim writes the task's limit"

    play_on(worker, clock)

    assert failed_for_good(job, "WorkerDied")
    assert job.errors[-1].message == f"its worker died while it ran, and {REMEDY}"
    assert (len(work.runs), job.crashes) == (1, 1)


def test_scheduler_fails_it_from_the_record_alone(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    def long(job: RunningJob) -> None:
        clock.advance(timedelta(seconds=25))
        worker.beat()
        crash(job)

    work.part = long
    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    clock.advance(timedelta(minutes=5))

    counts = tick(worker.installation)

    assert (counts["expired"], counts["sent"]) == (1, 0)
    assert failed_for_good(job, "WorkerDied")


def test_worker_that_lives_and_loses_the_lease_fails_the_job(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    def stall(job: RunningJob) -> None:
        clock.advance(PAST_THE_LEASE)
        job.check()

    work.part = stall
    job = queue.submit("work")
    worker.step()
    play_on(worker, clock)

    assert failed_for_good(job, "LeaseLost")
    assert (len(work.runs), job.crashes, job.lost_leases) == (1, 0, 1)


def test_worker_that_stops_in_the_middle_fails_the_job(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    def stopped(job: RunningJob) -> str:
        for run in worker.runs.running():
            settlement = worker.handler.give_back(run, "the worker is stopping")
            assert settlement is not None
            worker.settler.add(settlement)
        return "done"

    work.part = stopped
    job = queue.submit("work")
    worker.step()
    play_on(worker, clock)

    assert failed_for_good(job, "WorkerStopping")
    assert len(work.runs) == 1


def raise_(error: BaseException) -> Part:
    def part(_: RunningJob) -> None:
        raise error

    return part


def _out_of_memory() -> ProcessDied:
    died = ProcessDied("killed by signal 9")
    died.memory_ran_out = True
    return died


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_out_of_memory(), "ProcessDied"),
        (ProcessDied("exit code 3"), "ProcessDied"),
        (OSError(errno.ENOSPC, "no space left"), "OSError"),
    ],
    ids=["memory ran out", "process died", "disk full"],
)
def test_what_ends_a_run_from_outside_fails_the_job(
    queue: Queue,
    worker: Simulation,
    work: Work,
    clock: FakeClock,
    error: BaseException,
    kind: str,
) -> None:
    work.part = raise_(error)
    job = queue.submit("work")
    worker.step()
    play_on(worker, clock)

    assert failed_for_good(job, kind)
    assert len(work.runs) == 1


def test_error_of_the_task_is_retried_as_its_policy_says(
    queue: Queue, worker: Simulation, work: Work
) -> None:
    work.part = raise_(ValueError("told to"))
    job = queue.submit("work")
    for _ in range(7):
        worker.step()
    assert (job.refresh().state, len(work.runs)) == (State.FAILED, 5)


def test_restarted_by_a_person_it_still_runs_at_most_once(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    work.part = crash
    job = queue.submit("work")
    for times in (1, 2):
        with pytest.raises(Crash):
            worker.step()
        play_on(worker, clock)
        assert failed_for_good(job, "WorkerDied")
        assert (len(work.runs), job.crashes) == (times, 1)
        assert job.restart().crashes == 0
    work.part = lambda job: "done"
    worker.step()
    assert job.refresh().result == "done"


def test_number_given_at_submit_counts_more_than_the_tasks(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    work.part = crash
    job = queue.submit("work", crashes=1)
    for _ in range(2):
        with pytest.raises(Crash):
            worker.step()
        clock.advance(PAST_THE_LEASE)
    play_on(worker, clock)
    job.refresh()
    assert (job.state, job.crashes, len(work.runs)) == (State.FAILED, 2, 2)
    assert "the worker died 2 times" in job.errors[-1].message


def test_by_default_a_job_survives_two_deaths_and_no_third(
    queue: Queue, worker: Simulation, work: Work, tasks: Registry, clock: FakeClock
) -> None:
    tasks.forget("work")
    tasks.task("work")(lambda job: work(job))
    work.part = crash
    job = queue.submit("work")
    for _ in range(3):
        with pytest.raises(Crash):
            worker.step()
        clock.advance(PAST_THE_LEASE)
    play_on(worker, clock)
    job.refresh()
    assert (job.state, job.crashes, len(work.runs)) == (State.FAILED, 3, 3)
    assert job.crash_limit is None


class Unanswered:
    """The answer to the first claim is lost."""

    def __init__(self) -> None:
        self.left = 1

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        answer = function()
        if self.left and "claim" in str(arguments):
            self.left -= 1
            raise ConnectionError("the answer was lost")
        return answer


def test_claim_without_an_answer_is_given_back_and_the_job_runs(
    installation: Installation, queue: Queue, work: Work, tasks: Registry, clock: FakeClock
) -> None:
    flaky = Simulation(installation=intercepted(installation, Unanswered()), tasks=tasks)
    job = queue.submit("work")
    with pytest.raises(ConnectionError):
        flaky.step()
    assert job.refresh().state is State.RUNNING
    flaky.handler.lost_leases.say_all()
    assert job.refresh().state is State.READY

    play_on(Simulation(installation=installation, tasks=tasks), clock)

    assert job.refresh().result == "done"
    assert len(work.runs) == 1


def test_run_that_waits_for_its_turn_is_given_back_as_often_as_it_must(
    installation: Installation, queue: Queue, work: Work, tasks: Registry
) -> None:
    def wait_in_vain(run: Run) -> None:
        run.wait_to_begin()
        run.stop_signal.set(WorkerStopping("no process could be started"))
        raise WorkerStopping("no process could be started")

    job = queue.submit("work")
    for _ in range(RELEASES_FREE):
        Simulation(installation=installation, tasks=tasks, call=wait_in_vain).step()
    assert (job.refresh().state, job.record.releases) == (State.READY, RELEASES_FREE)
    Simulation(installation=installation, tasks=tasks).step()
    assert job.refresh().result == "done"


def test_run_given_back_while_it_waits_never_calls_its_function(
    installation: Installation, queue: Queue, work: Work, tasks: Registry
) -> None:
    worker = Simulation(installation=installation, tasks=tasks)

    def given_back_meanwhile(run: Run) -> Any:
        run.wait_to_begin()
        settlement = worker.handler.give_back(run, "the worker is stopping")
        assert settlement is not None
        worker.settler.add(settlement)
        run.begin()
        return work(RunningJob(run))

    worker.handler._call = given_back_meanwhile
    job = queue.submit("work")
    worker.step()
    assert (job.refresh().state, work.runs) == (State.READY, [])


def holding(installation: Installation) -> tuple[JobHolder, Queue]:
    holder = JobHolder(installation, start=lambda beat: None)
    return holder, RemoteJob(installation, holder=holder).queue()


def test_taken_job_fails_when_its_code_is_broken_off(installation: Installation) -> None:
    _, queue = holding(installation)
    job = queue.submit("work", crashes=0)
    with pytest.raises(KeyboardInterrupt), queue.get_work("work")[0]:
        raise KeyboardInterrupt
    assert failed_for_good(job, "WorkerStopping")


def test_taken_job_that_its_code_gives_back_unused_runs(installation: Installation) -> None:
    _, queue = holding(installation)
    job = queue.submit("work", crashes=0)
    (taken,) = queue.get_work("work")
    taken.release()
    assert job.refresh().state is State.READY


def test_taken_job_fails_when_its_process_dies(
    installation: Installation, queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    _, taking = holding(installation)
    job = taking.submit("work", crashes=0)
    assert len(taking.get_work("work")) == 1
    play_on(worker, clock)
    assert failed_for_good(job, "WorkerDied")
    assert work.runs == []


@pytest.mark.parametrize("crashes", [-1, True, 1.5, "none", 101])
def test_number_of_crashes_that_makes_no_sense_is_refused(queue: Queue, crashes: Any) -> None:
    with pytest.raises(InvalidData, match="crashes"):
        queue.submit("work", crashes=crashes)
    with pytest.raises(InvalidData, match="crashes"):
        Registry().task("work", crashes=crashes)


def test_why_says_what_to_do(
    queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    work.part = crash
    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    play_on(worker, clock)
    reason = job.refresh().why()
    assert "its worker died while it ran" in reason.text
    assert reason.remedy.startswith("look at what its last run did, then restart it")


def test_run_that_loses_its_lease_while_it_waits_never_calls_its_function(
    installation: Installation, queue: Queue, work: Work, tasks: Registry, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation, tasks=tasks)

    def loses_its_lease(run: Run) -> Any:
        run.wait_to_begin()
        clock.advance(PAST_THE_LEASE)
        worker.beat()
        assert job.refresh().state is State.READY, "given back, as it never began"
        run.begin()
        return work(RunningJob(run))

    worker.handler._call = loses_its_lease
    job = queue.submit("work")
    worker.step()
    assert work.runs == []

    play_on(Simulation(installation=installation, tasks=tasks), clock)

    assert job.refresh().result == "done"
    assert len(work.runs) == 1


def test_run_that_was_claimed_without_the_tasks_limit_is_the_last(
    installation: Installation, queue: Queue, worker: Simulation, work: Work, clock: FakeClock
) -> None:
    old = Simulation(installation=installation)
    old.tasks.task("work")(crash)
    job = queue.submit("work")
    with pytest.raises(Crash):
        old.step()
    clock.advance(PAST_THE_LEASE)

    worker.step()

    assert failed_for_good(job, "WorkerDied")
    assert work.runs == []
