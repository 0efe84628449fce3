"""A job starts when it is due, also when the scheduler that must see to it crashes once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.jobs.scheduler.tick import PERIOD
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks.running_job import RunningJob
from remotejob.testing.crashes import CRASHES, Fault, Faults
from tests.sampling import Sample, each_request, sampled
from tests.simulation.invariants import check_invariants
from tests.simulation.playing import memory_world
from tests.simulation.world import World

_LATEST: Final = timedelta(minutes=1)
_GLANCE: Final = timedelta(seconds=10)
"""How often the idle worker looks."""


def _run_until(world: World, end: timedelta) -> None:
    """A worker that is idle, and the scheduler once a minute."""
    for look in range(int(end / _GLANCE)):
        if look % int(PERIOD / _GLANCE) == 0:
            world.tick()
        # the worker of these tests does not crash: it is the one that is idle
        for _ in range(3):
            world.step()
        world.advance(_GLANCE)


def _check_on_time(world: World, starts: list[int]) -> None:
    world.run_to_quiet()
    check_invariants(world)
    due = [
        step.before.due_ms for step in world.trace.steps if step.change == "claim" and step.before
    ]
    for at_ms, due_ms in zip(starts, due, strict=True):
        assert due_ms is not None
        late = timedelta(milliseconds=at_ms - due_ms)
        assert timedelta(0) <= late <= _LATEST, f"started {late} after its time"


@pytest.mark.parametrize("minutes", [0.5, 1, 14.9, 15, 15.1, 16, 17.5, 18.2, 45.9])
def test_delayed_job_starts_within_a_minute_of_its_time(minutes: float) -> None:
    world = memory_world(Faults())
    world.task(lambda _: None)
    world.submit(Submission(task="work", delay=timedelta(minutes=minutes)))
    _run_until(world, timedelta(minutes=minutes + 3))
    assert len(world.starts) == 1
    _check_on_time(world, [at_ms for _, at_ms in world.starts])


@pytest.mark.parametrize("minutes", [3, 16, 45])
def test_failed_job_is_tried_again_within_a_minute_of_its_time(minutes: int) -> None:
    def work(job: RunningJob) -> None:
        raise ValueError(f"attempt {job.attempt}")

    world = memory_world(Faults())
    world.task(work, retry=Retry(max_attempts=2, wait=timedelta(minutes=minutes)))
    world.submit(Submission(task="work", delay=timedelta(seconds=20)))
    _run_until(world, timedelta(minutes=minutes + 4))
    assert len(world.starts) == 2
    _check_on_time(world, [at_ms for _, at_ms in world.starts])


@pytest.mark.parametrize("fault", CRASHES)
@pytest.mark.parametrize("sample", sampled(5))
def test_one_crash_of_the_scheduler_delays_no_job(fault: Fault, sample: Sample) -> None:
    def run(number: int) -> Faults:
        faults = Faults(fault, at=number)
        world = memory_world(faults)
        world.task(lambda _: None)
        # between two runs of the scheduler, where one that is missed costs the most
        world.submit(Submission(task="work", delay=timedelta(hours=1, seconds=30)))
        promised = bool(world.promised)
        world.advance(timedelta(minutes=56))
        _run_until(world, timedelta(minutes=7))
        by = "" if faults.struck is None else faults.struck.process
        if promised and by in ("", "scheduler"):
            assert [world.trace.records[job_id].state for job_id, _ in world.starts] == [
                State.COMPLETED
            ]
            _check_on_time(world, [at_ms for _, at_ms in world.starts])
        return faults

    assert each_request(run, fault, sample) > 100
