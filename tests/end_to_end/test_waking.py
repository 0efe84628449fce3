"""An upload to a sleeping queue wakes it: function, scheduler, service; rights are enforced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob import Job, RemoteJob, State
from remotejob.jobs.coordination.scaling_state import ScalingNote, load_scaling
from remotejob.local.ecs.surroundings import Surroundings
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.services import Counts
from tests.deployed import deployed, exported
from tests.end_to_end.waiting import until

pytestmark = pytest.mark.exhaustive

SETTINGS = Path(__file__).parents[1] / "walls" / "remotejob.toml"


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS, counts=Counts.OBEYED) as embedded:
        embedded.services.go(Surroundings())
        yield embedded


@pytest.fixture
def system(aws: EmbeddedAws) -> Iterator[RemoteJob]:
    with exported(aws.environment()):
        yield RemoteJob.connect("walls")


def test_an_upload_wakes_its_queue_and_no_tick_is_needed(
    aws: EmbeddedAws, system: RemoteJob
) -> None:
    installation = system._installation
    for queue in installation.queues:
        installation.fleet.set_desired(queue, 0)
    aws.client("s3").put_object(Bucket=system.input_bucket, Key="photos/a.jpg", Body=b"1")

    def ended() -> Job | None:
        done = (job for job in system.jobs() if job.state is State.COMPLETED)
        return next((job for job in done if job.queue == "ours"), None)

    until(ended, what="a completed job")

    def woken() -> ScalingNote | None:
        return load_scaling("ours", installation)

    note = until(woken, what="a note of the scaling")
    assert (note.desired, note.state.failing_since_ms) == (1, None)
    # nobody asked for the other queue
    asleep = installation.fleet.status("theirs")
    assert asleep is not None
    assert asleep.desired == 0
    used = {action for action, _ in aws.accesses()}
    assert {"lambda:InvokeFunction", "ecs:UpdateService", "ssm:GetParameters"} <= used


def test_a_tick_scales_what_a_client_submitted(aws: EmbeddedAws, system: RemoteJob) -> None:
    job = system.queue("theirs").submit("review")
    aws.invoke("Scheduler", {"do": "tick"})
    until(lambda: job.refresh().state is State.COMPLETED or None, what="a completed job")
    status = system._installation.fleet.status("theirs")
    assert status is not None
    assert status.desired == 1
