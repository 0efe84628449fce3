"""Scenarios of jobs that run under a lock: of one resource, or of one tenant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain.errors import JobCancelled, LeaseLost, WorkerStopping
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.dependents import gives_up
from tests.simulation.scripting import (
    by_name,
    make,
    must_be_over,
    must_stop,
    once,
    scenario,
    works,
)
from tests.simulation.world import PAST_THE_LEASE, World

COMPLETED, FAILED, CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED
PRINTER = "printer"


@scenario(COMPLETED, COMPLETED)
def second_of_a_resource_waits_for_the_first(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED)
def three_of_a_resource_in_their_order(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.advance(timedelta(milliseconds=1))
        make(world, "third", resource=PRINTER)
        world.step("other")
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    for _ in range(3):
        world.step()
    must_be_over(world)
    began = [job_id for job_id, _ in world.starts]
    if world.faults.struck is None and began != world.promised:
        world.violations.append(f"5: they began in the order {began}")


@scenario(COMPLETED, COMPLETED)
def others_run_while_the_first_waits_for_another_try(world: World) -> None:
    @once
    def fails(_: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        raise ValueError("the first time")

    by_name(world, first=fails)
    make(world, "first", resource=PRINTER, retry=Retry(max_attempts=3, wait=timedelta(minutes=5)))
    world.step()
    world.step()
    world.advance(timedelta(minutes=5))
    world.step()
    must_be_over(world)


@scenario(FAILED, COMPLETED)
def holder_fails_for_good(world: World) -> None:
    @once
    def fails(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        return gives_up(job)

    by_name(world, first=fails)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def holder_given_back_by_a_stopping_worker(world: World) -> None:
    @once
    def stopped(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        world.stop("worker", WorkerStopping("told to"))
        for _ in range(3):
            world.step("other")
        must_be_over(world)
        return works(job)

    by_name(world, first=stopped)
    make(world, "first", resource=PRINTER)
    world.step()


@scenario(COMPLETED, COMPLETED, COMPLETED)
def holder_dies(world: World) -> None:
    @once
    def dies(_: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        make(world, "third", resource=PRINTER)
        world.step("other")
        raise Crash("the worker dies, its lock still held")

    by_name(world, first=dies)
    make(world, "first", resource=PRINTER)
    world.step()
    world.advance(PAST_THE_LEASE)
    for _ in range(4):
        world.step()
    must_be_over(world)


@scenario(FAILED, COMPLETED)
def holder_kills_its_workers(world: World) -> None:
    def dies(_: RunningJob) -> Any:
        world.step("other")
        raise Crash("the task brings its worker down")

    by_name(world, first=dies)
    make(world, "first", resource=PRINTER)
    world.advance(timedelta(milliseconds=1))
    make(world, "second", resource=PRINTER)
    for _ in range(5):
        world.step()
        world.advance(PAST_THE_LEASE)


@scenario(COMPLETED, COMPLETED)
def lock_held_under_heartbeats(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        for _ in range(4):
            world.advance(timedelta(seconds=25))
            world.beat()
            world.step("other")
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def lock_taken_over_from_a_stalled_run(world: World) -> None:
    @once
    def stalls(job: RunningJob) -> Any:
        world.advance(PAST_THE_LEASE)
        make(world, "second", resource=PRINTER)
        world.step("other")
        must_stop(world, job, LeaseLost)

    @once
    def overtakes(job: RunningJob) -> Any:
        world.step("a third")
        return works(job)

    by_name(world, first=stalls, second=overtakes)
    make(world, "first", resource=PRINTER)
    world.step()
    for _ in range(3):
        world.advance(PAST_THE_LEASE)
        world.step()
    must_be_over(world)


@scenario(CANCELLED, COMPLETED, or_else=COMPLETED)
def holder_cancelled_while_it_runs(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        world.command(commands.cancel, job.id)
        world.step("other")
        world.advance(timedelta(seconds=25))
        world.beat()
        if world.faults.struck is None:
            must_stop(world, job, JobCancelled)
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(CANCELLED, COMPLETED, or_else=COMPLETED)
def holder_cancelled_and_its_worker_dies(world: World) -> None:
    @once
    def dies(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER)
        world.step("other")
        world.command(commands.cancel, job.id)
        raise Crash("the worker dies before it learns of it")

    by_name(world, first=dies)
    make(world, "first", resource=PRINTER)
    world.step()
    world.tick()
    world.advance(timedelta(minutes=3))
    world.tick()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, CANCELLED, COMPLETED, or_else=COMPLETED)
def cancelled_while_parked(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        second = make(world, "second", resource=PRINTER)
        world.advance(timedelta(milliseconds=1))
        make(world, "third", resource=PRINTER)
        world.step("other")
        world.command(commands.cancel, *second)
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED, or_else=State.PAUSED)
def paused_while_parked(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        second = make(world, "second", resource=PRINTER)
        third = make(world, "third", resource=PRINTER)
        world.step("other")
        world.command(commands.pause, *second, *third)
        world.command(commands.resume, *third)
        world.step("other")
        world.command(commands.resume, *second)
        world.step("other")
        return works(job)

    by_name(world, first=runs)
    make(world, "first", resource=PRINTER)
    for _ in range(3):
        world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED)
def resource_and_antecedent(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER, depends=[job.id])
        make(world, "third", resource=PRINTER)
        world.step("other")
        return works(job)

    @once
    def holds(job: RunningJob) -> Any:
        world.step("other")
        return works(job)

    by_name(world, first=runs, second=holds, third=holds)
    make(world, "first", resource=PRINTER)
    for _ in range(3):
        world.step()
    must_be_over(world)


@scenario(FAILED, CANCELLED, COMPLETED)
def resource_and_antecedent_that_fails(world: World) -> None:
    @once
    def fails(job: RunningJob) -> Any:
        make(world, "second", resource=PRINTER, depends=[job.id])
        make(world, "third", resource=PRINTER)
        world.step("other")
        return gives_up(job)

    by_name(world, first=fails)
    make(world, "first", resource=PRINTER)
    world.step()
    world.step()
    must_be_over(world)


@scenario(ends=COMPLETED)
def four_of_a_tenant_that_may_run_two(world: World) -> None:
    def nested(job: RunningJob) -> Any:
        world.step(f"beside {job.id}")
        return works(job)

    by_name(world, deep=nested)
    for _ in range(4):
        make(world, "deep", tenant="acme")
    for _ in range(4):
        world.step()
    must_be_over(world)


@scenario(ends=COMPLETED)
def resource_and_tenant(world: World) -> None:
    def nested(job: RunningJob) -> Any:
        world.step(f"beside {job.id}")
        return works(job)

    by_name(world, deep=nested)
    for number in range(4):
        make(world, "deep", tenant="acme", resource=PRINTER if number < 2 else None)
    for _ in range(4):
        world.step()


@scenario(COMPLETED, COMPLETED)
def tenant_run_given_back_after_its_resource_was_taken_over(world: World) -> None:
    @once
    def stalls(_: RunningJob) -> Any:
        world.advance(PAST_THE_LEASE)
        make(world, "second", resource=PRINTER)
        world.step("other")

    @once
    def holds(job: RunningJob) -> Any:
        world.duplicate()
        world.step("a third")
        return works(job)

    by_name(world, first=stalls, second=holds)
    make(world, "first", resource=PRINTER, tenant="acme")
    world.step()
    for _ in range(3):
        world.advance(PAST_THE_LEASE)
        world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def nobody_lets_go_of_the_lock(world: World) -> None:
    def another_is_parked() -> None:
        make(world, "second", resource=PRINTER)
        world.step("other")

    by_name(world)
    make(world, "first", resource=PRINTER)
    world.complete_and_die(another_is_parked)
    world.lose_messages()
    world.advance(timedelta(minutes=11))
    world.tick()
    world.step()
    must_be_over(world)
