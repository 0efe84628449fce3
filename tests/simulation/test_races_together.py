"""Jobs that wait for others, with a stall at a request of somebody's while others act.

As `test_races`, with what befalls several jobs at a time. Of a scenario, every fifth request is
tried, and each case begins at another one than its neighbours.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import pytest

from remotejob.domain.errors import KeyReused, WorkerStopping
from remotejob.domain.states import State
from remotejob.jobs.commands import commands
from remotejob.jobs.commands.restart import restart
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import STALLS, Crash, Fault, Faults
from tests.sampling import Sample, each_request, on_its_own, sampled
from tests.simulation.locked import PRINTER
from tests.simulation.playing import memory_world, play, requests_of
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import PAST_THE_LEASE, World

_STRIDE: Final = 5


def _all(world: World) -> list[str]:
    return list(world.trace.records)


def _another_worker_steps(world: World) -> None:
    world.step("intruder")
    world.step("intruder")


def _the_lease_ends_and_another_worker_steps(world: World) -> None:
    world.advance(PAST_THE_LEASE)
    world.step("intruder")
    world.step("intruder")


def _the_scheduler_and_the_sweep_run_late(world: World) -> None:
    world.advance(timedelta(hours=2))
    world.tick()
    world.sweep()
    world.step("intruder")


def _a_manager_cancels_the_first(world: World) -> None:
    world.command_if_allowed(commands.cancel, *_all(world)[:1])


def _a_manager_cancels_and_restarts(world: World) -> None:
    world.command_if_allowed(commands.cancel, *_all(world))
    world.advance(PAST_THE_LEASE)
    world.step("intruder")
    world.command_if_allowed(restart, *_all(world))
    world.step("intruder")


def _a_manager_restarts_what_was_owed_for(world: World) -> None:
    world.advance(timedelta(minutes=3))
    world.tick()
    world.command_if_allowed(restart, *_all(world), dependents=True)
    for job_id in _all(world)[:1]:
        world.submit(Submission(task="work", depends=[job_id]))
    world.step("intruder")


def _a_manager_pauses_and_resumes(world: World) -> None:
    world.command_if_allowed(commands.pause, *_all(world))
    world.step("intruder")
    world.command_if_allowed(commands.resume, *_all(world))


def _a_manager_makes_them_independent(world: World) -> None:
    world.command_if_allowed(commands.make_ready, *_all(world), independent=True)
    world.step("intruder")


def _a_manager_removes_what_has_ended(world: World) -> None:
    world.command_if_allowed(commands.remove, *_all(world))
    world.step("intruder")


def _others_of_the_resource_come(world: World) -> None:
    for _ in range(2):
        world.submit(Submission(task="work", resource=PRINTER))
    world.step("intruder")
    world.step("intruder")


def _the_lease_ends_and_another_takes_the_lock(world: World) -> None:
    def dies(_: RunningJob) -> None:
        raise Crash("the intruder dies, its lease still live")

    tasks = Registry()
    tasks.task("work")(dies)
    # past a lease that was to be extended by now, and not as far as it was to be extended to
    world.advance(timedelta(seconds=40))
    # handled before the message of the job that holds the lock
    world.submit(Submission(task="work", resource=PRINTER, priority=-10))
    world.step("intruder", tasks=tasks)


def _a_dependent_of_the_first_comes(world: World) -> None:
    for job_id in _all(world)[:1]:
        world.submit(Submission(task="work", depends=[job_id], resource=PRINTER))
    world.step("intruder")


def _the_worker_gives_back_what_it_runs(world: World) -> None:
    with world.surviving():
        world.stop("worker", WorkerStopping("told to"))
    world.step("intruder")


def _another_creator_has_the_same_key(world: World) -> None:
    # refused where the first creator's job was stored before
    with suppress(KeyReused):
        world.submit(Submission(task="work", data="second", idempotency_key="monday"))
    world.step("intruder")


INTRUSIONS: Final = (
    _another_worker_steps,
    _the_lease_ends_and_another_worker_steps,
    _the_scheduler_and_the_sweep_run_late,
    _a_manager_cancels_the_first,
    _a_manager_cancels_and_restarts,
    _a_manager_restarts_what_was_owed_for,
    _a_manager_pauses_and_resumes,
    _a_manager_makes_them_independent,
    _a_manager_removes_what_has_ended,
    _others_of_the_resource_come,
    _a_dependent_of_the_first_comes,
    _the_lease_ends_and_another_takes_the_lock,
    _the_worker_gives_back_what_it_runs,
    _another_creator_has_the_same_key,
)

RACED: Final = (
    "dependent_follows_its_antecedent",
    "antecedent_fails_for_good",
    "diamond_with_one_side_broken",
    "dependents_paused_while_they_wait",
    "both_restarted_by_way_of_the_dependent",
    "chain_restarted_by_way_of_its_beginning",
    "three_of_a_resource_in_their_order",
    "others_run_while_the_first_waits_for_another_try",
    "holder_dies",
    "lock_held_under_heartbeats",
    "lock_taken_over_from_a_stalled_run",
    "holder_cancelled_while_it_runs",
    "cancelled_while_parked",
    "resource_and_antecedent",
    "resource_and_tenant",
    "repeat_with_a_resource_and_a_dependent",
    "dependent_submitted_twice_under_one_key",
    "removed_once_it_has_ended",
)


@pytest.mark.parametrize("name", [on_its_own(name, "raced") for name in RACED])
@pytest.mark.parametrize("intrusion", INTRUSIONS, ids=lambda act: act.__name__.strip("_"))
@pytest.mark.parametrize("fault", STALLS)
@pytest.mark.parametrize("sample", sampled(18))
def test_others_may_act_between_requests_about_several_jobs(
    name: str, intrusion: Callable[[World], None], fault: Fault, sample: Sample
) -> None:
    scenario = SCENARIOS[name]
    first = 1 + zlib.crc32(f"{name} {intrusion.__name__} {fault}".encode()) % _STRIDE

    def run(number: int) -> Faults:
        worlds: list[World] = []
        faults = Faults(fault, at=number, meanwhile=lambda: intrusion(worlds[0]))
        world = memory_world(faults)
        worlds.append(world)
        # which end it is depends on who was first; that it is one, and just one, does not
        play(scenario, world, ends=frozenset(State))
        return faults

    exposed = requests_of(name)
    assert each_request(run, fault, sample, exposed=exposed, first=first, stride=_STRIDE) >= 2
