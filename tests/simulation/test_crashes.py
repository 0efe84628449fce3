"""Every scenario in memory, with a crash and with an error at each single request of it."""

from __future__ import annotations

import pytest

from remotejob.testing.crashes import CRASHES, ERRORS, Fault, Faults
from tests.sampling import Sample, on_its_own, sampled
from tests.simulation.playing import memory_world, play, with_fault_at
from tests.simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.parametrize("name", [on_its_own(name, "memory") for name in SCENARIOS])
SAMPLED = sampled(19)


def test_scenario_ends_as_it_should_when_nothing_goes_wrong(name: str) -> None:
    scenario = SCENARIOS[name]
    play(scenario, memory_world(Faults()), ends=frozenset(scenario.ends))


@pytest.mark.parametrize("sample", SAMPLED)
@pytest.mark.parametrize("fault", CRASHES)
def test_crash_at_any_request_loses_nothing(name: str, fault: Fault, sample: Sample) -> None:
    scenario = SCENARIOS[name]
    assert with_fault_at(name, fault, sample, ends=scenario.ends_after_a_crash) >= 6


@pytest.mark.parametrize("sample", SAMPLED)
@pytest.mark.parametrize("fault", ERRORS)
def test_error_at_any_request_loses_nothing(name: str, fault: Fault, sample: Sample) -> None:
    scenario = SCENARIOS[name]
    assert with_fault_at(name, fault, sample, ends=scenario.ends_after_an_error) >= 6
