"""The margin for clocks that differ: a setting, which everybody who judges a lease keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, State, StillRunning
from remotejob.backends.aws.system_description import SystemDescription
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import SYSTEM_VERSION
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.messages.handler import ProcessDeath

SECOND = timedelta(seconds=1)
SKEW = 30 * SECOND


def dying(installation: Installation, name: str = "dying") -> Simulation:
    worker = Simulation(installation=installation, worker=name)

    @worker.tasks.task("work")
    def work(_: object) -> None:
        raise ProcessDeath("the process dies here")

    return worker


def living(installation: Installation) -> Simulation:
    worker = Simulation(installation=installation, worker="living")
    worker.tasks.task("work")(lambda job: None)
    return worker


def lapse(clock: FakeClock, installation: Installation, after: timedelta) -> None:
    clock.advance(installation.lease + after)


@pytest.mark.parametrize("skew", [timedelta(0), CLOCK_SKEW, SKEW])
@pytest.mark.parametrize("resource", [None, "cat"])
def test_dead_workers_job_is_taken_over_once_the_margin_is_over(
    resource: str | None, skew: timedelta, installation: Installation, clock: FakeClock
) -> None:
    installation = replace(installation, skew=skew)
    job = RemoteJob(installation).queue().submit("work", resource=resource)
    with pytest.raises(ProcessDeath):
        dying(installation).step()
    lapse(clock, installation, skew - SECOND)

    living(installation).step()
    assert job.refresh().state is State.RUNNING
    clock.advance(2 * SECOND)
    living(installation).step()
    assert job.refresh().state is State.COMPLETED


def test_scheduler_and_why_keep_the_margin(installation: Installation, clock: FakeClock) -> None:
    installation = replace(installation, skew=SKEW)
    remote = RemoteJob(installation)
    job = remote.queue().submit("work")
    with pytest.raises(ProcessDeath):
        dying(installation).step()
    lapse(clock, installation, SKEW - SECOND)
    assert (remote.flush_stale(), job.why().code) == (0, "running")
    tick(installation)
    clock.advance(2 * SECOND)
    assert job.why().code != "running"


def test_cancelled_run_is_not_removed_before_the_margin_is_over(
    installation: Installation, clock: FakeClock
) -> None:
    installation = replace(installation, skew=SKEW)
    job = RemoteJob(installation).queue().submit("work")
    with pytest.raises(ProcessDeath):
        dying(installation).step()
    job.cancel()
    lapse(clock, installation, SKEW - SECOND)
    with pytest.raises(StillRunning):
        job.remove()
    clock.advance(2 * SECOND)
    job.remove()


def test_margin_is_two_seconds_by_default(queue: Queue, installation: Installation) -> None:
    assert installation.skew == CLOCK_SKEW == 2 * SECOND


@pytest.mark.parametrize(("described", "skew"), [({}, CLOCK_SKEW), ({"clock_skew_seconds": 7}, 7)])
def test_margin_comes_from_the_description_of_the_system(
    described: dict[str, int], skew: timedelta | int
) -> None:
    known = {
        "version": SYSTEM_VERSION,
        "name": "test",
        "table": "t",
        "input_bucket": "i",
        "output_bucket": "o",
        "lease_seconds": 60,
        "retention_days": 30,
        "queues": {},
    }
    read = SystemDescription.from_json(json.dumps(known | described), origin="here")
    assert read.skew == (skew if isinstance(skew, timedelta) else skew * SECOND)
