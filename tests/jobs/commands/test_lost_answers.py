"""A command that took effect is done, also when its answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from remotejob import Job, Queue, RemoteJob, Retry, RunningJob, State
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from tests.lost_answers import Lost, LostAnswer

MINUTE = timedelta(minutes=1)
FAILED = Address("default", Channel.FAILED)
EITHER = pytest.mark.parametrize("lost", [Lost.SENT_AGAIN, Lost.ERROR], ids=["sent again", "error"])

Prepare = Callable[[Queue, Simulation], Job]
Act = Callable[[Job], Job]


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    failing = {"fail"}

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        if job.data in failing:
            failing.remove(job.data)
            raise ValueError("no")
        return "done"

    return Simulation(installation=installation, tasks=tasks)


def ready(queue: Queue, _: Simulation) -> Job:
    return queue.submit("work")


def paused(queue: Queue, worker: Simulation) -> Job:
    job = queue.submit("work").pause()
    worker.step()
    return job


def delayed(queue: Queue, _: Simulation) -> Job:
    return queue.submit("work", delay=timedelta(days=1))


def failed(queue: Queue, worker: Simulation) -> Job:
    job = queue.submit("work", data="fail")
    worker.step()
    return job.refresh()


def cancelled(queue: Queue, worker: Simulation) -> Job:
    job = queue.submit("work").cancel()
    worker.step()
    return job.refresh()


LOST = [
    pytest.param("pause", ready, Job.pause, id="pause"),
    pytest.param("resume", paused, Job.resume, id="resume"),
    pytest.param("make_ready", delayed, Job.make_ready, id="make ready"),
    pytest.param("restart", failed, Job.restart, id="restart a failed job"),
    pytest.param("restart", cancelled, Job.restart, id="restart a cancelled job"),
    pytest.param(
        "restart", failed, lambda job: job.restart(retry=Retry(max_attempts=3)), id="with a policy"
    ),
    pytest.param("cancel", ready, Job.cancel, id="cancel"),
    pytest.param("cancel", delayed, Job.cancel, id="cancel a delayed job"),
]


def through(job: Job, installation: Installation, answer: LostAnswer) -> Job:
    """The same job, by a client that loses an answer."""
    return RemoteJob(intercepted(installation, answer)).job(job.id)


@pytest.mark.parametrize(("kind", "prepare", "act"), LOST)
def test_command_that_was_sent_again_is_done_and_not_refused(
    queue: Queue,
    worker: Simulation,
    installation: Installation,
    clock: FakeClock,
    kind: str,
    prepare: Prepare,
    act: Act,
) -> None:
    answer = LostAnswer(kind)
    job = prepare(queue, worker)

    after = act(through(job, installation, answer))

    assert answer.happened
    worker.step()
    job.refresh()
    match kind:
        case "pause":
            assert (after.state, job.state) == (State.PAUSED, State.PAUSED)
        case "cancel":
            assert (after.state, job.state) == (State.CANCELLED, State.CANCELLED)
            assert job.record.owed is None
        case _:
            # its message was sent at once
            assert job.state is State.COMPLETED


@pytest.mark.parametrize(("kind", "prepare", "act"), LOST)
def test_command_whose_caller_got_an_error_goes_on_by_the_scheduler(
    queue: Queue,
    worker: Simulation,
    installation: Installation,
    clock: FakeClock,
    kind: str,
    prepare: Prepare,
    act: Act,
) -> None:
    answer = LostAnswer(kind, Lost.ERROR)
    job = prepare(queue, worker)
    with pytest.raises(ConnectionError):
        act(through(job, installation, answer))

    for _ in range(4):
        tick(installation)
        worker.step()
        clock.advance(MINUTE)

    job.refresh()
    match kind:
        case "pause":
            assert job.state is State.PAUSED
        case "cancel":
            assert job.state is State.CANCELLED
            assert job.record.owed is None
            depth = installation.messages.depth(FAILED)
            assert depth.visible + depth.hidden == 1
        case _:
            assert job.state is State.COMPLETED


def test_command_that_another_undid_meanwhile_is_not_taken_as_done(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    """The pause took effect, its answer was lost, and a colleague resumed the job."""
    job = queue.submit("work")

    def resumed() -> None:
        clock.advance(MINUTE)
        job.refresh().resume()

    after = through(job, installation, LostAnswer("pause", meanwhile=resumed)).pause()

    # the second try pauses it: what the caller is told is what is
    assert after.state is job.refresh().state is State.PAUSED


# Submitting


@EITHER
@pytest.mark.parametrize("delay", [None, timedelta(hours=2)], ids=["now", "later"])
def test_submission_whose_answer_was_lost_makes_one_job_that_runs_once(
    queue: Queue,
    worker: Simulation,
    installation: Installation,
    clock: FakeClock,
    lost: Lost,
    delay: timedelta | None,
) -> None:
    answer = LostAnswer("store.put_new", lost)
    losing = RemoteJob(intercepted(installation, answer)).queue()
    if lost is Lost.ERROR:
        with pytest.raises(ConnectionError):
            losing.submit("work", delay=delay)
    else:
        losing.submit("work", delay=delay)

    assert answer.happened
    (job,) = queue.jobs()
    if lost is Lost.SENT_AGAIN and delay is None:
        assert worker.step() == 1
        assert job.refresh().state is State.COMPLETED
        return
    for _ in range(130 if delay else 1):
        clock.advance(MINUTE)
        tick(installation)
        worker.step()
    if lost is Lost.SENT_AGAIN or delay is not None:
        assert job.refresh().state is State.COMPLETED
        assert job.attempt == 1
    else:
        # ready and without a message: the caller got an error, and the sweep finds the job
        assert job.refresh().state is State.READY


@EITHER
def test_submission_with_a_key_whose_answer_was_lost_makes_one_job_however_often_it_is_tried(
    queue: Queue, worker: Simulation, installation: Installation, lost: Lost
) -> None:
    answer = LostAnswer("store.transact", lost)
    losing = RemoteJob(intercepted(installation, answer)).queue()
    if lost is Lost.ERROR:
        with pytest.raises(ConnectionError):
            losing.submit("work", idempotency_key="once")
    first = losing.submit("work", idempotency_key="once")
    second = queue.submit("work", idempotency_key="once")

    assert answer.happened
    assert first.id == second.id
    while worker.step():
        pass
    (job,) = queue.jobs()
    assert (job.state, job.attempt) == (State.COMPLETED, 1)
