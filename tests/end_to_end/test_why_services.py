"""`why` names what keeps ECS from running workers, in an embedded AWS whose services obey."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import Job, Reason, RemoteJob, Why
from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.surroundings import Surroundings
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.services import Counts
from tests.deployed import deployed, exported
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.exhaustive

SETTINGS = Path(__file__).parents[1] / "permissions" / "remotejob.toml"

FAULTS = [
    (StartFault.IMAGE_PULL, Why.IMAGE_PULL),
    (StartFault.QUOTA, Why.QUOTA),
    (StartFault.NO_CAPACITY, Why.NO_CAPACITY),
    (StartFault.EXITS_AT_ONCE, Why.CRASHED),
]


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS, counts=Counts.OBEYED) as embedded:
        yield embedded


@pytest.fixture
def system(aws: EmbeddedAws) -> Iterator[RemoteJob]:
    with exported(aws.environment()):
        yield RemoteJob.connect("groups")


@pytest.fixture
def job(system: RemoteJob, aws: EmbeddedAws) -> Iterator[Job]:
    """One that waits for a worker, whose tasks cannot be imported."""
    aws.services.go(Surroundings(environment={"REMOTEJOB_TASKS": "no_such_module"}))
    submitted = system.queue().submit("work")
    system._installation.fleet.set_desired("default", 1)
    yield submitted
    system._installation.fleet.set_desired("default", 0)
    # forgets failed starts: the next test need not wait for them
    aws.services.hold(hurry=timedelta(0), kill=timedelta(0))
    submitted.cancel()


@pytest.mark.parametrize(("fault", "code"), FAULTS)
def test_fault_of_ecs_is_named(fault: StartFault, code: Why, aws: EmbeddedAws, job: Job) -> None:
    aws.services.break_starts(fault)
    try:
        reason = named(job, code)
    finally:
        aws.services.break_starts(None)

    assert reason.remedy
    assert reason.unseen == ()


def test_worker_that_cannot_import_its_tasks_is_named(job: Job) -> None:
    assert "no_such_module" in named(job, Why.CANNOT_START).text


def named(job: Job, code: Why) -> Reason:
    """The reason with this code, once it is given."""

    def look() -> Reason | None:
        reason = job.why()
        return reason if reason.code is code else None

    return until(look, what=f"{code}, but {job.why()}")
