"""A queue is added, changed, retired and removed by deploying all stacks again, jobs and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from remotejob import QueueRetired, RemoteJob, State, UnknownQueue, Why
from remotejob.backends.aws import connect
from remotejob.domain.without_queue import NO_QUEUE
from remotejob.jobs.scheduler.tick import tick
from remotejob.local.embedded import EmbeddedAws
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from tests.deployed import ASSETS, exported
from tests.stacks.conftest import Synthesize

VIDEO = '[queues.video]\ntasks = ["transcode"]\n'


def deploy(aws: EmbeddedAws, synthesize: Synthesize, more: str) -> Installation:
    """Deploy these queues next to the default one; return what a new process connects to."""
    folder = synthesize(more=more).folder
    if aws.deployed_from is None:
        aws.deploy(folder)
    else:
        aws.update(folder)
    return connect("test", session=boto3.Session())


def take(installation: Installation, queue: str, *, most: int = 10) -> list[str]:
    """Run what waits in a queue, by hand; return the ids."""
    work = RemoteJob(installation).queue(queue)
    done: list[str] = []
    while taken := work.get_work(max_jobs=most - len(done), wait=timedelta(seconds=1)):
        for job in taken:
            job.done()
            done.append(job.id)
        if len(done) == most:
            break
    return done


@pytest.mark.exhaustive
def test_a_queue_comes_and_goes_and_its_jobs_are_told(
    synthesize: Synthesize, tmp_path: Path
) -> None:
    first = synthesize().folder
    with (
        EmbeddedAws.for_assembly(first, cache=ASSETS, keep=tmp_path / "kept") as aws,
        exported(aws.environment()),
    ):
        one = deploy(aws, synthesize, "")
        kept = RemoteJob(one).queue("default").submit("thumbnail")
        with pytest.raises(UnknownQueue):
            RemoteJob(one).queue("video")

        added = deploy(aws, synthesize, VIDEO)
        jobs = [RemoteJob(added).queue("video").submit("transcode") for _ in range(2)]
        later = RemoteJob(added).queue("video").submit("transcode", delay=timedelta(seconds=1))

        retired = deploy(aws, synthesize, f"{VIDEO}retired = true\n")
        with pytest.raises(QueueRetired):
            RemoteJob(retired).queue("video").submit("transcode")
        (done,) = take(retired, "video", most=1)
        assert done in {job.id for job in jobs}

        removed = deploy(aws, synthesize, "")
        assert set(removed.queues) == {"default"}
        assert take(removed, "default") == [kept.id]
        # later, as its message is overdue by then
        tick(replace(removed, clock=FakeClock(datetime.now(UTC) + timedelta(minutes=10))))
        missed = RemoteJob(removed).job(later.id)
        assert (missed.state, missed.record.errors[-1].kind) == (State.WAITING, NO_QUEUE)
        why = missed.why()
        assert why.code is Why.NO_QUEUE
        assert why.details["fails_at"] is not None

        back = deploy(aws, synthesize, VIDEO)
        found = RemoteJob(back).job(later.id).make_ready()
        assert later.id in take(back, "video")
        assert found.refresh().state is State.COMPLETED
