"""A completion holds only what a record can: no task spoils its own record by what it returns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob import InvalidData, Job, RemoteJob, State
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.mark.parametrize("delay", [timedelta(days=366), timedelta(days=12_000_000), -timedelta(1)])
def test_a_delay_that_no_record_holds_fails_the_run(delay: timedelta) -> None:
    with pytest.raises(InvalidData, match="delay_dependents"):
        Completion(delay_dependents=delay)

    installation = memory_installation(FakeClock(), queues={"default": ("work",)})
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: Completion(delay_dependents=delay))
    job: Job = RemoteJob(installation).queue().submit("work")
    worker.step()

    assert job.refresh().state is State.FAILED
    assert "delay_dependents" in job.errors[-1].message
