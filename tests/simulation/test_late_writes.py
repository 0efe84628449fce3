"""Every write of every scenario takes effect again, or only, long after its client gave up on it.

It arrives after so many more requests of anybody, up to minutes later, or once all is over.
"""

from __future__ import annotations

import pytest

from remotejob.testing.late_writes import Late, LateWrites
from tests.sampling import Sample, each_request, on_its_own, sampled
from tests.simulation.playing import memory_world, play
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World

DELAYS = (0, 2, 7, 20, None)
"""In requests; None is after the end."""

pytestmark = pytest.mark.parametrize("name", [on_its_own(name, "late") for name in SCENARIOS])


def _play(name: str, late: Late, *, at: int, delay: int | None) -> LateWrites:
    writes, scenario = LateWrites(late, at=at, delay=delay), SCENARIOS[name]

    def let_it_arrive(world: World) -> None:
        world.run_to_quiet()
        writes.arrive()
        if world.message_lost:
            # nothing is left that would announce an end which arrives so late
            world.unannounced |= set(world.trace.records)

    ends = scenario.ends_after_a_crash
    if late is Late.GIVEN_UP:
        ends = scenario.ends_after_an_error
    play(scenario, memory_world(writes), ends=ends, after_script=let_it_arrive)
    return writes


@pytest.mark.parametrize("sample", sampled(75))
@pytest.mark.parametrize("late", Late)
def test_a_write_that_takes_effect_late_loses_and_doubles_nothing(
    name: str, late: Late, sample: Sample
) -> None:
    def run(number: int) -> LateWrites:
        for delay in DELAYS:
            writes = _play(name, late, at=number, delay=delay)
        return writes

    exposed = _play(name, late, at=0, delay=None).exposed
    assert each_request(run, late, sample, exposed=exposed) >= 3
