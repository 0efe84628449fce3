"""Scenarios of jobs that are made again, or must not be: repeats, keys, removals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain.repeat import Repeat
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.dependents import gives_up
from tests.simulation.locked import PRINTER
from tests.simulation.scripting import by_name, make, must_be_over, once, scenario, works
from tests.simulation.world import PAST_THE_LEASE, Uploaded, World

COMPLETED, FAILED, CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED
MINUTELY = Repeat(times=2, wait=timedelta(minutes=1))


def _a_minute(world: World) -> None:
    world.step()
    world.advance(timedelta(minutes=1))


@scenario(COMPLETED, COMPLETED, COMPLETED)
def repeated_twice(world: World) -> None:
    by_name(world)
    make(world, "first", repeat=MINUTELY)
    for _ in range(3):
        _a_minute(world)
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def repeated_after_its_worker_died(world: World) -> None:
    @once
    def dies(job: RunningJob) -> Any:
        works(job)
        raise Crash("just before its end")

    by_name(world, first=dies)
    make(world, "first", repeat=Repeat(times=1, wait=timedelta(hours=1)))
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()
    world.advance(timedelta(minutes=58))
    world.tick()
    world.advance(timedelta(minutes=2))
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def repeated_by_a_run_that_was_overtaken(world: World) -> None:
    @once
    def stalls(job: RunningJob) -> Any:
        world.advance(PAST_THE_LEASE)
        world.step("other")
        return works(job)

    by_name(world, first=stalls)
    make(world, "first", repeat=Repeat(times=1, wait=timedelta(minutes=1)))
    for _ in range(3):
        _a_minute(world)
    must_be_over(world)


def _fails_at_first(job: RunningJob) -> Any:
    # by what is left of its repeats: a run may be tried again after a crash
    return works(job) if job.repeat == Repeat(times=0, wait=MINUTELY.wait) else gives_up(job)


@scenario(FAILED, FAILED, COMPLETED)
def repeat_that_fails(world: World) -> None:
    by_name(world, first=_fails_at_first)
    make(world, "first", repeat=MINUTELY)
    for _ in range(3):
        _a_minute(world)
    must_be_over(world)


@scenario(FAILED, FAILED)
def repeat_that_kills_its_workers(world: World) -> None:
    def dies(_: RunningJob) -> Any:
        raise Crash("each time")

    by_name(world, first=dies)
    make(world, "first", repeat=Repeat(times=1, wait=timedelta(minutes=1)))
    for _ in range(10):
        world.step()
        world.advance(PAST_THE_LEASE)
        world.tick()
    must_be_over(world)


@scenario(FAILED, CANCELLED, COMPLETED)
def repeat_cancelled_for_what_it_depends_on(world: World) -> None:
    by_name(world, first=gives_up)
    first = make(world, "first")
    make(world, "second", depends=first, repeat=Repeat(times=1, wait=timedelta(minutes=1)))
    for _ in range(3):
        _a_minute(world)
    must_be_over(world)


@scenario(COMPLETED, CANCELLED, or_else=COMPLETED)
def repeat_cancelled_between(world: World) -> None:
    by_name(world)
    make(world, "first", repeat=MINUTELY)
    world.step()
    waiting = [one.id for one in world.trace.records.values() if one.state is State.WAITING]
    world.command(commands.cancel, *waiting)
    _a_minute(world)
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED, COMPLETED)
def repeat_with_a_resource_and_a_dependent(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        make(world, "third", resource=PRINTER)
        world.step("other")
        return works(job)

    by_name(world, first=runs)
    first = make(world, "first", resource=PRINTER, repeat=Repeat(times=1))
    make(world, "second", depends=first)
    world.step()
    world.step()
    world.advance(timedelta(minutes=5))
    world.step()
    must_be_over(world)


def _one_job_only(world: World) -> None:
    if len(world.trace.records) > 1:
        world.violations.append(f"{len(world.trace.records)} jobs under one key")


@scenario(ends=COMPLETED)
def submitted_twice_under_one_key(world: World) -> None:
    by_name(world)
    make(world, "first", idempotency_key="monday")
    make(world, "first", idempotency_key="monday")
    _one_job_only(world)
    world.step()
    make(world, "first", idempotency_key="monday")
    _one_job_only(world)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def dependent_submitted_twice_under_one_key(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    for _ in range(2):
        make(world, "second", depends=first, idempotency_key="monday")
    world.step()
    make(world, "second", depends=first, idempotency_key="monday")
    world.step()
    must_be_over(world)
    if len([one for one in world.trace.records.values() if one.data_json == '"second"']) > 1:
        world.violations.append("two jobs under one key")


@scenario(ends=COMPLETED, or_else=CANCELLED)
def removed_once_it_has_ended(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.step()
    world.command_if_allowed(commands.remove, *first)
    world.step()
    world.duplicate()
    world.step()
    must_be_over(world)


@scenario(ends=COMPLETED)
def upload_whose_job_was_removed(world: World) -> None:
    by_name(world)
    uploaded = Uploaded(version="v1", at=0)
    make(world, "another")
    world.upload(uploaded)
    world.step()
    world.command_if_allowed(commands.remove, *world.uploads)
    world.upload(uploaded)
    world.step()
    must_be_over(world)


@scenario(ends=COMPLETED, or_else=FAILED)
def removed_after_it_failed_with_its_key(world: World) -> None:
    by_name(world, first=once(gives_up))
    first = make(world, "first", idempotency_key="monday", resource=PRINTER)
    world.step()
    world.command_if_allowed(commands.remove, *first)
    make(world, "first", idempotency_key="monday", resource=PRINTER)
    world.step()
    must_be_over(world)


@scenario(ends=COMPLETED, or_else=CANCELLED)
def cancelled_run_is_removed_when_it_has_wound_down(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        world.command(commands.cancel, job.id)
        world.command_if_allowed(commands.remove, job.id)
        world.step("other")
        return works(job)

    by_name(world, first=runs)
    make(world, "another")
    first = make(world, "first", resource=PRINTER)
    world.step()
    world.command_if_allowed(commands.remove, *first)
    must_be_over(world)


@scenario(ends=COMPLETED, or_else=CANCELLED)
def cancelled_run_is_not_removed_under_its_lease(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        world.command(commands.cancel, job.id)
        world.command_if_allowed(commands.remove, job.id)
        return works(job)

    by_name(world, first=runs)
    make(world, "another")
    first = make(world, "first")
    world.step()
    world.command_if_allowed(commands.remove, *first)
    must_be_over(world)
