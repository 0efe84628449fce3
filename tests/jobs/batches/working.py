"""Workers for batches: what they run, and how a test drives them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from remotejob import RunningJob
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation

QUEUES: Final = {"default": ("work", "summary")}
MINUTE: Final = timedelta(minutes=1)


def worker_of(installation: Installation, *, failing: bool = True) -> Simulation:
    """A worker whose jobs fail if their data says so, unless the fault was mended meanwhile."""
    simulation = Simulation(installation=installation)

    @simulation.tasks.task("work")
    def work(job: RunningJob) -> Any:
        if failing and job.data == {"fail": True}:
            raise ValueError("no")
        return job.data

    @simulation.tasks.task("summary")
    def summary(job: RunningJob) -> Any:
        return job.data

    return simulation


def work_off(worker: Simulation) -> None:
    while worker.step():
        pass


def let_time_pass(worker: Simulation, clock: FakeClock, *, minutes: int) -> None:
    """The scheduler and the worker go on, as they do when nobody interferes."""
    for _ in range(minutes):
        clock.advance(MINUTE)
        tick(worker.installation)
        work_off(worker)
