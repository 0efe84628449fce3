"""Scenarios of jobs that wait for others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain.errors import Fatal, JobCancelled
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.messaging.messages import Pending
from remotejob.tasks.completion import Completion
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.scripting import (
    by_name,
    make,
    must_be_over,
    must_stop,
    once,
    scenario,
    works,
)
from tests.simulation.world import LANES, PAST_THE_LEASE, World

COMPLETED, FAILED, CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED


def gives_up(_: RunningJob) -> Any:
    raise Fatal("no use trying again")


def dies(_: RunningJob) -> Any:
    raise Crash("the task brings its worker down")


@scenario(COMPLETED, COMPLETED)
def dependent_follows_its_antecedent(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.step()
    world.step()
    must_be_over(world)


@scenario(FAILED, CANCELLED, CANCELLED)
def antecedent_fails_for_good(world: World) -> None:
    by_name(world, first=gives_up)
    first = make(world, "first")
    make(world, "second", depends=first)
    make(world, "third", depends=first)
    world.step()
    must_be_over(world)


@scenario(CANCELLED, CANCELLED, or_else=COMPLETED)
def antecedent_cancelled_before_it_runs(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.command(commands.cancel, *first)
    world.step()
    must_be_over(world)


@scenario(CANCELLED, CANCELLED, or_else=COMPLETED)
def antecedent_cancelled_while_it_runs(world: World) -> None:
    @once
    def runs(job: RunningJob) -> Any:
        world.command(commands.cancel, job.id)
        world.advance(timedelta(seconds=25))
        world.beat()
        if world.faults.struck is None:
            must_stop(world, job, JobCancelled)
        return works(job)

    by_name(world, first=runs)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.step()
    must_be_over(world)


@scenario(FAILED, CANCELLED)
def antecedent_kills_its_workers(world: World) -> None:
    by_name(world, first=dies)
    first = make(world, "first")
    make(world, "second", depends=first)
    for _ in range(4):
        world.step()
        world.advance(PAST_THE_LEASE)
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED, COMPLETED)
def diamond(world: World) -> None:
    by_name(world)
    top = make(world, "top")
    left, right = make(world, "left", depends=top), make(world, "right", depends=top)
    make(world, "bottom", depends=[*left, *right])
    for _ in range(3):
        world.step()
    must_be_over(world)


@scenario(COMPLETED, FAILED, COMPLETED, CANCELLED)
def diamond_with_one_side_broken(world: World) -> None:
    by_name(world, left=gives_up)
    top = make(world, "top")
    left, right = make(world, "left", depends=top), make(world, "right", depends=top)
    make(world, "bottom", depends=[*left, *right])
    for _ in range(2):
        world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED)
def chain_of_three(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    second = make(world, "second", depends=first)
    make(world, "third", depends=second)
    for _ in range(3):
        world.step()
    must_be_over(world)


@scenario(FAILED, CANCELLED, CANCELLED)
def chain_of_three_that_breaks(world: World) -> None:
    by_name(world, first=gives_up)
    first = make(world, "first")
    second = make(world, "second", depends=first)
    make(world, "third", depends=second)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED)
def dependents_submitted_while_it_runs_and_after_it_ended(world: World) -> None:
    def submits(job: RunningJob) -> Any:
        made = works(job)
        if job.attempt == 1:
            make(world, "second", depends=[job.id])
        return made

    by_name(world, first=submits)
    first = make(world, "first")
    world.step()
    make(world, "third", depends=first)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED, or_else=State.PAUSED)
def dependents_paused_while_they_wait(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    second, third = make(world, "second", depends=first), make(world, "third", depends=first)
    world.command(commands.pause, *second, *third)
    world.command(commands.resume, *second)
    world.step()
    world.command(commands.resume, *third)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, or_else=State.PAUSED)
def dependent_that_was_made_paused(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    second = make(world, "second", depends=first, paused=True)
    world.step()
    world.command(commands.resume, *second)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, CANCELLED, or_else=COMPLETED)
def dependent_cancelled_while_it_waits(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    second = make(world, "second", depends=first)
    world.command(commands.cancel, *second)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def dependent_that_is_delayed_too(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first, delay=timedelta(minutes=10))
    world.step()
    world.step()
    world.advance(timedelta(minutes=10))
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def end_of_the_antecedent_delivered_again(world: World) -> None:
    @once
    def duplicates(job: RunningJob) -> Any:
        world.duplicate()
        return works(job)

    by_name(world, first=duplicates)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.step()
    world.step()
    world.duplicate()
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, or_else=(FAILED, CANCELLED))
def both_restarted_by_way_of_the_dependent(world: World) -> None:
    by_name(world, first=once(gives_up))
    first = make(world, "first")
    second = make(world, "second", depends=first)
    world.step()
    world.command(restart, *second)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED, or_else=(FAILED, CANCELLED))
def chain_restarted_by_way_of_its_beginning(world: World) -> None:
    by_name(world, first=once(gives_up))
    first = make(world, "first")
    second = make(world, "second", depends=first)
    make(world, "third", depends=second)
    world.step()
    world.command(restart, *first, dependents=True)
    for _ in range(3):
        world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, or_else=(FAILED, CANCELLED))
def dependent_restarted_after_its_antecedent_went_well(world: World) -> None:
    by_name(world, first=once(gives_up))
    first = make(world, "first")
    second = make(world, "second", depends=first)
    world.step()
    world.command(restart, *first)
    world.step()
    world.command(restart, *second)
    world.step()
    must_be_over(world)


@scenario(COMPLETED, FAILED, CANCELLED)
def chain_of_three_that_breaks_in_the_middle(world: World) -> None:
    by_name(world, second=gives_up)
    first = make(world, "first")
    second = make(world, "second", depends=first)
    make(world, "third", depends=second)
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED, COMPLETED)
def dependents_delayed_by_the_antecedent(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first)
    make(world, "third", depends=first, delay=timedelta(minutes=5))
    delay = timedelta(minutes=3)
    world.run_by_hand(Completion(delay_dependents=delay))
    ended_ms = world.clock.now_ms()
    world.step()
    world.advance(delay)
    world.step()
    world.advance(timedelta(minutes=2))
    world.step()
    must_be_over(world)
    early = [at_ms for _, at_ms in world.starts if at_ms < ended_ms + delay.total_seconds() * 1000]
    if early and world.faults.struck is None:
        world.violations.append(f"7: dependents began at {early}")


@scenario(CANCELLED, COMPLETED, or_else=COMPLETED)
def dependent_made_independent(world: World) -> None:
    by_name(world)
    first = make(world, "first", delay=timedelta(hours=1))
    second = make(world, "second", depends=first)
    world.command(commands.make_ready, *second, independent=True)
    world.step()
    world.command(commands.cancel, *first)
    must_be_over(world)
    world.advance(timedelta(hours=2))
    world.step()


@scenario(COMPLETED, FAILED, COMPLETED)
def antecedent_fails_at_first(world: World) -> None:
    def fails_once(job: RunningJob) -> Any:
        if job.attempt == 1:
            raise ValueError("the first time")
        return works(job)

    by_name(world, first=fails_once, second=gives_up)
    first = make(world, "first", retry=Retry(max_attempts=2, wait=timedelta(minutes=5)))
    make(world, "second")
    make(world, "third", depends=first)
    world.step()
    world.advance(timedelta(minutes=5))
    world.step()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def nobody_tells_of_the_end_of_the_antecedent(world: World) -> None:
    by_name(world)
    first = make(world, "first")
    make(world, "second", depends=first)
    world.complete_and_die()
    world.lose_messages()
    world.advance(timedelta(minutes=11))
    world.tick()
    world.step()
    must_be_over(world)


@scenario(COMPLETED, COMPLETED)
def message_of_a_job_that_still_waits(world: World) -> None:
    by_name(world)
    first = make(world, "first", delay=timedelta(minutes=1))
    for job_id in make(world, "second", depends=first):
        world.deliver(LANES[0], Pending(job_id=job_id, task="work").body())
    world.step()
    world.advance(timedelta(minutes=1))
    world.step()
    world.step()
    must_be_over(world)
