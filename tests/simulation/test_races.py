"""Every scenario with a stall at each request of it, while others act in the meantime.

The stall stands before the request, so that it comes late, or after it, so that its answer is out
of date when the process reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from remotejob.domain import command_changes
from remotejob.domain.states import State
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import STALLS, Crash, Fault, Faults
from tests.sampling import Sample, each_request, sampled
from tests.simulation.playing import memory_world, play, requests_of
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import PAST_THE_LEASE, World


def _another_worker_steps(world: World) -> None:
    world.step("intruder")


def _another_worker_gets_a_duplicate(world: World) -> None:
    world.duplicate()
    world.step("intruder")


def _the_lease_ends_and_another_worker_steps(world: World) -> None:
    world.advance(PAST_THE_LEASE)
    world.step("intruder")


def _another_worker_claims_and_dies(world: World) -> None:
    def dies(_: RunningJob) -> None:
        raise Crash("the intruder dies as well")

    tasks = Registry()
    tasks.task("work")(dies)
    for _ in range(2):
        world.advance(PAST_THE_LEASE)
        world.step("intruder", tasks=tasks)
    world.advance(PAST_THE_LEASE)


def _the_scheduler_and_the_sweep_run_late(world: World) -> None:
    world.advance(timedelta(hours=2))
    world.tick()
    world.sweep()
    world.step("intruder")


def _a_manager_cancels(world: World) -> None:
    world.manage(command_changes.cancel)


def _a_manager_pauses_and_resumes(world: World) -> None:
    world.manage(command_changes.pause)
    world.step("intruder")
    world.manage(command_changes.resume)


INTRUSIONS = (
    _another_worker_steps,
    _another_worker_gets_a_duplicate,
    _the_lease_ends_and_another_worker_steps,
    _another_worker_claims_and_dies,
    _the_scheduler_and_the_sweep_run_late,
    _a_manager_cancels,
    _a_manager_pauses_and_resumes,
)

RACED = (
    "plain",
    "fails_once_then_completes",
    "poison",
    "retry_waits_longer_than_a_message_can",
    "given_back_by_a_stopping_worker",
    "lease_lost_to_another_worker",
    "messages_delivered_more_than_once",
    "resumed_after_its_worker_died",
    "resumed_after_it_failed",
)


@pytest.mark.parametrize("name", RACED)
@pytest.mark.parametrize("intrusion", INTRUSIONS, ids=lambda act: act.__name__.strip("_"))
@pytest.mark.parametrize("fault", STALLS)
@pytest.mark.parametrize("sample", sampled(5))
def test_others_may_act_between_any_two_requests(
    name: str, intrusion: Callable[[World], None], fault: Fault, sample: Sample
) -> None:
    scenario = SCENARIOS[name]

    def run(number: int) -> Faults:
        worlds: list[World] = []
        faults = Faults(fault, at=number, meanwhile=lambda: intrusion(worlds[0]))
        world = memory_world(faults)
        worlds.append(world)
        # which end it is depends on who was first; that it is one, and just one, does not
        play(scenario, world, ends=frozenset(State))
        return faults

    assert each_request(run, fault, sample, exposed=requests_of(name)) >= 8
