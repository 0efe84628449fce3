"""Scaling in a world of late counts, slow and failed starts, reclaimed workers and bursts.

`python -m tests.simulation.scaling_figures` prints what docs/reliability.md says.
"""

from __future__ import annotations

import pytest

from tests.simulation.fleet_world import Findings, FleetWorld, Scenario
from tests.simulation.scaling_scenarios import SCENARIOS

FEW = 2
MANY = 60


def check(scenario: Scenario) -> Findings:
    world = FleetWorld(scenario)
    found = world.run()
    assert (found.interrupted, found.needless_changes) == (0, 0), scenario
    assert found.stuck_ticks <= 2, scenario
    assert found.excess_ticks <= 2, scenario
    assert found.starts <= (scenario.most_starts or found.starts), scenario
    return found


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seed", range(FEW))
def test_scaling_holds_what_it_promises(name: str, seed: int) -> None:
    check(SCENARIOS[name](seed))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_scaling_holds_what_it_promises_for_many_seeds(name: str) -> None:
    for seed in range(FEW, MANY):
        check(SCENARIOS[name](seed))
