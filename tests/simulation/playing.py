"""Plays a scenario to its end, with at most one fault, and checks what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Final

from remotejob.backends.memory import MemoryMessages
from remotejob.domain.states import State
from remotejob.testing import FakeClock, memory_installation
from remotejob.testing.crashes import Fault, Faults
from tests.sampling import Sample, each_request
from tests.simulation.backstage import MemoryBackstage
from tests.simulation.invariants import check_invariants
from tests.simulation.scenarios import SCENARIOS, Scenario
from tests.simulation.world import QUEUES, FaultInjector, World

RETENTION: Final = timedelta(days=3)
"""Short, because the first sweep walks as many days."""


def memory_world(faults: FaultInjector, *, clock: FakeClock | None = None) -> World:
    """A system in memory, the same each time."""
    clock = clock or FakeClock()
    installation = replace(memory_installation(clock, retention=RETENTION), queues=QUEUES)
    assert isinstance(installation.messages, MemoryMessages)
    backstage = MemoryBackstage(installation.messages)
    return World(installation, clock=clock, faults=faults, backstage=backstage)


def _nothing(_: World) -> None:
    pass


def play(
    scenario: Scenario,
    world: World,
    *,
    ends: frozenset[State],
    after_script: Callable[[World], None] = _nothing,
) -> None:
    """Play the script, let the system come to rest, and check everything.

    A failure tells the requests made, and which one met the fault.
    """
    try:
        scenario.play(world)
        after_script(world)
        world.run_to_quiet()
        check_invariants(world)
        for record in world.trace.records.values():
            if record.id in world.promised or world.faults.struck is None:
                assert record.state in ends, f"{record.id} ended {record.state}, not in {ends}"
        if world.faults.struck is None:
            assert world.promised, "nothing was submitted"
            if len(scenario.ends) > 1:
                ended = tuple(record.state for record in world.trace.records.values())
                assert ended == scenario.ends
    except BaseException as problem:
        problem.add_note(world.faults.report())
        raise


@cache
def requests_of(name: str) -> int:
    """How many requests a scenario makes in memory while nothing goes wrong."""
    faults = Faults()
    play(SCENARIOS[name], memory_world(faults), ends=frozenset(SCENARIOS[name].ends))
    return faults.exposed


def with_fault_at(name: str, fault: Fault, sample: Sample, *, ends: frozenset[State]) -> int:
    """The scenario in memory, once for each request of the sample; how many requests it has."""

    def run(number: int) -> Faults:
        faults = Faults(fault, at=number)
        play(SCENARIOS[name], memory_world(faults), ends=ends)
        return faults

    return each_request(run, fault, sample, exposed=requests_of(name))
