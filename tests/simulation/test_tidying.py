"""Outputs of runs that did not commit are seen by nobody, and in the end they are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob.domain.record import output_prefix
from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Submission
from remotejob.ports import Area
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import Crash, Fault, Faults
from tests.sampling import EVERY_REQUEST, each_request
from tests.simulation.invariants import check_invariants
from tests.simulation.playing import memory_world
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import PAST_THE_LEASE, World

LEAVING_OUTPUTS_BEHIND = (
    "fails_once_then_completes",
    "fails_until_no_attempt_is_left",
    "given_back_by_a_stopping_worker",
    "lease_lost_to_another_worker",
)


def _check_tidied(world: World) -> None:
    world.run_to_quiet()
    for _ in range(2):
        world.advance(timedelta(hours=2))
        world.sweep()
    check_invariants(world)
    committed = tuple(
        output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id or "")
        for record in world.trace.records.values()
        if record.state is State.COMPLETED
    )
    left = [key for key in world.base.files.keys(Area.OUTPUT, "") if not key.startswith(committed)]
    assert left == []


@pytest.mark.parametrize("name", LEAVING_OUTPUTS_BEHIND)
def test_crash_at_any_request_leaves_no_outputs_behind(name: str) -> None:
    def run(number: int) -> Faults:
        faults = Faults(Fault.CRASH_BEFORE, at=number)
        world = memory_world(faults)
        SCENARIOS[name].play(world)
        _check_tidied(world)
        return faults

    assert each_request(run, Fault.CRASH_BEFORE, EVERY_REQUEST) >= 8


def test_outputs_are_removed_of_a_job_that_the_sweep_once_sent_for() -> None:
    world = memory_world(Faults())
    runs: list[str] = []

    def work(job: RunningJob) -> None:
        runs.append(job.run_id)
        job.output("made.txt", b"by whom?")
        if len(runs) == 1:
            raise Crash("after the output")

    world.task(work)
    world.submit(Submission(task="work"))
    world.lose_messages()
    world.advance(timedelta(hours=2))
    world.sweep()
    world.step()
    world.advance(PAST_THE_LEASE)
    _check_tidied(world)
    assert len(runs) == 2


def test_outputs_are_removed_of_a_job_whose_end_the_sweep_announced() -> None:
    faults = Faults()
    world = memory_world(faults)

    def work(job: RunningJob) -> None:
        job.output("half.txt", b"not to be seen")
        world.lose_messages()
        faults.strike_in(3)
        raise ValueError("and its end is not announced")

    world.task(work)
    world.submit(Submission(task="work"))
    world.step()
    assert [record.owed for record in world.trace.records.values()] == ["status"]
    world.advance(timedelta(hours=2))
    world.sweep()
    _check_tidied(world)
