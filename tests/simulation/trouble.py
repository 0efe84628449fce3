"""Scenarios of what can befall jobs: lost leases, lost messages, duplicates, poison."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain.errors import LeaseLost, WorkerStopping
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.scripting import JOB, fails, must_be_over, must_stop, scenario, works
from tests.simulation.world import PAST_THE_LEASE, World


@scenario(ends=State.FAILED)
def poison(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Crash("the task brings its worker down")

    world.task(work, retry=Retry(max_attempts=5))
    world.submit(JOB)
    for _ in range(5):
        world.step()
        world.advance(PAST_THE_LEASE)


@scenario(ends=State.COMPLETED)
def given_back_by_a_stopping_worker(world: World) -> None:
    stopped: list[str] = []

    def work(job: RunningJob) -> Any:
        if not stopped:
            stopped.append(job.run_id)
            job.output("made.txt", b"by the run that was given back")
            world.stop("worker", WorkerStopping("told to"))
            world.advance(timedelta(seconds=1))
            world.step("other")
            must_be_over(world)
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def long_run_under_heartbeats(world: World) -> None:
    beating: list[str] = []

    def work(job: RunningJob) -> Any:
        if not beating:
            beating.append(job.run_id)
            for done in range(6):
                world.advance(timedelta(seconds=25))
                job.progress(done, 6)
                job.log(f"part {done}: " + "x" * 300)
                world.beat()
                world.step("other")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def lease_lost_to_another_worker(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            job.output("made.txt", b"by the run that lost its lease")
            world.advance(PAST_THE_LEASE)
            world.step("other")
            must_stop(world, job, LeaseLost)
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def lease_lost_and_the_heart_beats(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            world.advance(PAST_THE_LEASE)
            world.beat()
            must_stop(world, job, LeaseLost)
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


# two workers die of it, and one more is more than the crash budget allows
@scenario(ends=State.COMPLETED, or_else=State.FAILED)
def stalled_run_returns_while_another_has_the_job(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            world.advance(PAST_THE_LEASE)
            world.step("other")
            return "too late"
        if len(runs) == 2:
            raise Crash("the second worker dies, its lease still live")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(ends=State.COMPLETED)
def messages_delivered_more_than_once(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            world.duplicate()
            world.step("other")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.duplicate()
    world.step()
    world.duplicate()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(ends=State.COMPLETED)
def messages_lost_before_the_run(world: World) -> None:
    world.task(works)
    world.submit(JOB)
    world.lose_messages()
    world.advance(timedelta(hours=2))
    world.sweep()
    world.step()


@scenario(ends=State.COMPLETED)
def messages_lost_during_the_run(world: World) -> None:
    lost: list[str] = []

    def work(job: RunningJob) -> Any:
        if not lost:
            lost.append(job.run_id)
            world.lose_messages()
            raise Crash("and its worker with them")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()
    world.advance(timedelta(hours=2))
    world.sweep()
    world.step()


@scenario(ends=State.COMPLETED)
def messages_lost_after_a_heartbeat(world: World) -> None:
    lost: list[str] = []

    def work(job: RunningJob) -> Any:
        if not lost:
            lost.append(job.run_id)
            world.advance(timedelta(seconds=25))
            world.beat()
            world.lose_messages()
            raise Crash("and its worker with them")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()
    world.advance(timedelta(minutes=4))
    world.tick()
    world.step()
    must_be_over(world)


@scenario(ends=State.COMPLETED)
def messages_lost_while_it_waits_for_another_try(world: World) -> None:
    failed: list[str] = []

    def work(job: RunningJob) -> Any:
        if not failed:
            failed.append(job.run_id)
            fails(job)
        return works(job)

    world.task(work, retry=Retry(max_attempts=2, wait=timedelta(minutes=5)))
    world.submit(JOB)
    world.step()
    world.lose_messages()
    world.advance(timedelta(minutes=8))
    world.tick()
    world.step()
