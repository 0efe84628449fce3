"""Scenarios of limits: jobs that may begin only until a time, and jobs that run at most once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain.errors import LeaseLost, WorkerStopping
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.commands.commands import pause, resume
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.scripting import JOB, fails, make, must_stop, scenario, works
from tests.simulation.world import PAST_THE_LEASE, World

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def too_late_to_begin(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", expires=MINUTE))
    world.advance(2 * MINUTE)
    world.step()


@scenario(ends=State.COMPLETED, or_else=State.FAILED)
def begins_just_in_time(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", expires=HOUR))
    world.advance(HOUR)
    world.step()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def too_late_before_any_worker_looked(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", delay=HOUR, expires=MINUTE))
    world.advance(2 * HOUR)
    world.tick()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def dies_and_is_too_late_for_another_run(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Crash("the task brings its worker down")

    world.task(work)
    world.submit(Submission(task="work", expires=MINUTE))
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(State.COMPLETED, State.COMPLETED, or_else=State.FAILED)
def limit_counts_from_when_the_others_are_done(world: World) -> None:
    world.task(works)
    first = make(world, "first", delay=HOUR)
    make(world, "then", depends=first, expires=2 * HOUR)
    world.advance(HOUR)
    world.tick()
    world.step()
    world.advance(HOUR)
    world.step()


@scenario(State.COMPLETED, State.FAILED, or_else=(State.CANCELLED, State.PAUSED))
def dependent_is_too_late(world: World) -> None:
    world.task(works)
    first = make(world, "first")
    then = make(world, "then", depends=first, expires=MINUTE)
    world.command_if_allowed(pause, *then)
    world.step()
    world.advance(2 * MINUTE)
    world.command_if_allowed(resume, *then)
    world.step()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def at_a_lock_until_too_late(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", resource="scanner", expires=MINUTE))
    world.advance(2 * MINUTE)
    world.step()


@scenario(ends=State.COMPLETED, or_else=State.FAILED)
def restarted_after_it_was_too_late(world: World) -> None:
    world.task(works)
    job = world.submit(Submission(task="work", expires=MINUTE))
    world.advance(2 * MINUTE)
    world.step()
    world.command_if_allowed(restart, *job)
    world.tick()
    world.step()


@scenario(ends=State.FAILED)
def planned_retry_is_not_begun_too_late(world: World) -> None:
    world.task(fails)
    until = from_ms(world.clock.now_ms()) + HOUR
    retry = Retry(max_attempts=3, wait=timedelta(minutes=30), until=until)
    world.submit(Submission(task="work", retry=retry))
    world.step()
    world.advance(2 * HOUR)
    world.tick()
    world.step()


@scenario(ends=State.FAILED)
def dies_once_and_runs_no_more(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Crash("the task brings its worker down")

    world.task(work, crashes=0)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(ends=State.FAILED)
def dies_twice_and_runs_no_more(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Crash("the task brings its worker down")

    world.task(work)
    world.submit(Submission(task="work", crashes=1))
    for _ in range(3):
        world.step()
        world.advance(PAST_THE_LEASE)


@scenario(ends=State.COMPLETED, or_else=State.FAILED)
def runs_at_most_once_and_well(world: World) -> None:
    world.task(works, crashes=0)
    world.submit(JOB)
    world.step()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def stopped_and_runs_no_more(world: World) -> None:
    def work(job: RunningJob) -> Any:
        job.output("made.txt", b"by the only run")
        world.stop("worker", WorkerStopping("told to"))
        world.advance(timedelta(seconds=1))
        world.step("other")
        return works(job)

    world.task(work, crashes=0, retry=Retry(max_attempts=5))
    world.submit(JOB)
    world.step()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def loses_its_lease_and_runs_no_more(world: World) -> None:
    def work(job: RunningJob) -> Any:
        world.advance(PAST_THE_LEASE)
        world.step("other")
        must_stop(world, job, LeaseLost)
        return works(job)

    world.task(work, crashes=0)
    world.submit(JOB)
    world.step()


@scenario(ends=State.FAILED, or_else=State.COMPLETED)
def restarted_and_still_runs_at_most_once(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Crash("the task brings its worker down")

    world.task(work, crashes=0)
    job = world.submit(JOB)
    for _ in range(2):
        world.step()
        world.advance(PAST_THE_LEASE)
        world.step()
        world.command_if_allowed(restart, *job)
        world.tick()
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()
