"""Scenarios of jobs that keep checkpoints, and go on from them after whatever befalls them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import LeaseLost
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash
from tests.simulation.locked import PRINTER
from tests.simulation.scripting import (
    JOB,
    Part,
    by_name,
    fails,
    make,
    must_stop,
    once,
    scenario,
    works,
)
from tests.simulation.world import PAST_THE_LEASE, World

COMPLETED, FAILED, CANCELLED = State.COMPLETED, State.FAILED, State.CANCELLED
PARTS: Final = 4
AGAIN: Final = Retry(max_attempts=4, wait=timedelta(seconds=30))


class Kept:
    """What a job has kept, as its runs know it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._returned = 0
        self._tried = 0

    def resumed(self, job: RunningJob) -> int:
        """The part that a run goes on after; it may not be an older one than was kept."""
        state = job.resumed_from
        # one that has lost its job meanwhile goes on from nothing
        job.check()
        found = 0 if state is None else int(state["part"])
        if not self._returned <= found <= self._tried:
            self._world.violations.append(
                f"run {job.run_id} goes on from part {found}: part {self._returned} was kept, "
                f"and part {self._tried} tried"
            )
        self._returned = self._tried = found
        return found

    def keep(self, job: RunningJob, part: int) -> None:
        self._tried = part
        # small and large by turns: in the record, and beside it
        job.checkpoint({"part": part, "filling": "x" * (2000 if part % 3 else 0)})
        self._returned = part


def in_parts(world: World, befalls: Part, *, at: int = 3) -> Part:
    """A task that keeps what it has, part by part; that befalls its first run before part `at`."""
    kept = Kept(world)
    once_only = once(befalls)

    def work(job: RunningJob) -> Any:
        for part in range(kept.resumed(job) + 1, PARTS + 1):
            if part == at:
                once_only(job)
            kept.keep(job, part)
        return works(job)

    return work


def _dies(_: RunningJob) -> Any:
    raise Crash("between two checkpoints")


@scenario(ends=COMPLETED)
def resumed_after_its_worker_died(world: World) -> None:
    world.task(in_parts(world, _dies), retry=AGAIN)
    world.submit(JOB)
    for _ in range(3):
        world.step()
        world.advance(PAST_THE_LEASE)


@scenario(ends=COMPLETED)
def resumed_after_it_failed(world: World) -> None:
    world.task(in_parts(world, fails), retry=AGAIN)
    world.submit(JOB)
    for _ in range(3):
        world.step()
        world.advance(timedelta(seconds=30))


@scenario(ends=COMPLETED)
def resumed_under_heartbeats(world: World) -> None:
    def beats(job: RunningJob) -> Any:
        for part in range(4):
            world.advance(timedelta(seconds=25))
            world.beat()
            job.checkpoint({"part": 2, "again": part})
            world.step("other")
        raise Crash("after many of them")

    world.task(in_parts(world, beats), retry=AGAIN)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(ends=COMPLETED)
def resumed_while_the_run_that_lost_it_goes_on(world: World) -> None:
    def stalls(job: RunningJob) -> Any:
        world.advance(PAST_THE_LEASE)
        world.step("other")
        must_stop(world, job, LeaseLost)

    world.task(in_parts(world, stalls), retry=AGAIN)
    world.submit(JOB)
    world.step()


@scenario(ends=COMPLETED, or_else=FAILED)
def resumed_by_a_restart(world: World) -> None:
    world.task(in_parts(world, fails))
    jobs = world.submit(JOB)
    world.step()
    world.advance(timedelta(hours=2))
    world.sweep()
    world.command_if_allowed(restart, *jobs)
    world.step()


@scenario(ends=COMPLETED, or_else=(FAILED, CANCELLED))
def resumed_by_a_restart_under_the_cancelled_run(world: World) -> None:
    def cancelled(job: RunningJob) -> Any:
        world.command(commands.cancel, job.id)
        world.command_if_allowed(restart, job.id)
        world.advance(timedelta(seconds=25))
        world.beat()

    world.task(in_parts(world, cancelled), retry=AGAIN)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(COMPLETED, COMPLETED)
def resumed_when_its_lock_was_taken_over(world: World) -> None:
    by_name(world, first=in_parts(world, _dies))
    make(world, "first", resource=PRINTER, retry=AGAIN)
    world.step()
    make(world, "second", resource=PRINTER, priority=-10, retry=AGAIN)
    for _ in range(3):
        world.advance(PAST_THE_LEASE)
        world.step()
        world.tick()
