"""Leases hold between machines whose clocks differ, or which were suspended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remotejob.domain.errors import LeaseLost
from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Faults
from tests.simulation.clocks import SkewedClock, SuspendedClock
from tests.simulation.invariants import check_invariants
from tests.simulation.playing import memory_world
from tests.simulation.world import PAST_THE_LEASE


@pytest.mark.parametrize(("holder", "other"), [(-1, 1), (1, -1), (0, 0)])
def test_no_worker_claims_while_the_holder_counts_its_lease_as_live(
    holder: int, other: int
) -> None:
    world = memory_world(Faults())
    world.skew_ms = 1000
    for name, seconds in (("holder", holder), ("other", other)):
        world.clocks[name] = SkewedClock(world.clock, timedelta(seconds=seconds))
    began: list[int] = []
    ends: list[int] = []

    def work(job: RunningJob) -> Any:
        began.append(world.clock.now_ms())
        if len(began) > 1:
            return
        world.advance(timedelta(seconds=50))
        while len(began) == 1:
            if not job.cancelled:
                ends.append(world.clock.now_ms())
            world.advance(timedelta(milliseconds=250))
            world.duplicate_one()
            world.step("other")

    world.task(work)
    world.submit(Submission(task="work"))
    world.step("holder")
    # the holder stops before another begins, and another does not wait much longer
    assert 0 < began[1] - ends[-1] <= 5000
    world.run_to_quiet()
    check_invariants(world)


def test_next_heartbeat_tells_a_worker_that_its_lease_was_lost() -> None:
    world = memory_world(Faults())
    world.clocks["sleeper"] = clock = SuspendedClock(world.clock)
    met: list[type[Exception] | None] = []
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) > 1:
            return "by the second"
        world.advance(PAST_THE_LEASE)
        clock.slept += PAST_THE_LEASE
        world.step("other")
        # as far as it knows the lease is its own
        job.check()
        world.advance(timedelta(seconds=21))
        world.beat("sleeper")
        try:
            job.check()
        except LeaseLost as lost:
            met.append(type(lost))
        return "by the first"

    world.task(work)
    world.submit(Submission(task="work"))
    world.step("sleeper")
    assert met == [LeaseLost]
    (record,) = world.trace.records.values()
    assert (record.state, record.run_id) == (State.COMPLETED, runs[1])
    assert record.result_json == '"by the second"'
    world.run_to_quiet()
    check_invariants(world)
