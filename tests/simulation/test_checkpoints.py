"""Files of checkpoints: there while a job may go on from them, and gone after that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob.domain.checkpoints import checkpoint_key
from remotejob.domain.states import State
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.ports import Area
from remotejob.testing.crashes import CRASHES, ERRORS, Fault, Faults
from tests.sampling import Sample, each_request, sampled
from tests.simulation import resumed
from tests.simulation.invariants import check_invariants
from tests.simulation.playing import RETENTION, memory_world
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World

KEEPING = sorted(name for name in vars(resumed) if name in SCENARIOS)


@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS])
@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("sample", sampled(8))
def test_no_file_of_a_checkpoint_is_left_whatever_fails(
    name: str, fault: Fault, sample: Sample
) -> None:
    def run(number: int) -> Faults:
        faults = Faults(fault, at=number)
        world = memory_world(faults)
        SCENARIOS[name].play(world)
        world.run_to_quiet()
        check_invariants(world)
        for _ in range(2):
            world.advance(timedelta(hours=8))
            sweep(world.base)
        assert _files(world) == _wanted(world), faults.report()
        for _ in range(RETENTION.days):
            world.advance(timedelta(days=1))
            sweep(world.base)
        assert _files(world) == set(), faults.report()
        return faults

    assert each_request(run, fault, sample) > 10


def _files(world: World) -> set[str]:
    return {key for key in world.base.files.keys(Area.OUTPUT, "") if "/-/" in key}


def _wanted(world: World) -> set[str]:
    """What jobs that failed or were cancelled would go on from, were they restarted."""
    return {
        key
        for record in world.trace.records.values()
        if record.state is not State.COMPLETED and (key := checkpoint_key(record))
    }
