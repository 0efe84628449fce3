"""A worker that has a job which must run alone runs nothing next to it, and goes on afterwards."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from remotejob import Job, Queue, RemoteJob, RunningJob, State, Urgency
from remotejob.ports import Installation
from remotejob.tasks import Registry
from tests.systems import installation_in_real_time
from tests.worker.lifecycle.working import PATIENCE, awaited, working
from tests.worker.test_suspects import suspected

A_MOMENT = 0.3
"""Seconds in which nothing is to happen. Where it does, it takes milliseconds."""


class Scene:
    """Tasks that tell when they begin, and wait until they may end."""

    def __init__(self) -> None:
        self.tasks = Registry()
        self.began = {name: threading.Event() for name in ("suspect", "long", "quick")}
        self.may_end = {name: threading.Event() for name in self.began}
        self.may_end["quick"].set()
        self.tasks.task("work")(self._work)

    def _work(self, job: RunningJob) -> None:
        self.began[job.data].set()
        assert self.may_end[job.data].wait(PATIENCE)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def ended(installation: Installation, *jobs: Job) -> None:
    awaited(
        installation,
        lambda: all(job.refresh().state is State.COMPLETED for job in jobs),
        what="the end of the jobs",
    )


def test_suspect_waits_for_the_others_and_nothing_begins_beside_it(
    installation: Installation, queue: Queue, scene: Scene
) -> None:
    with working(installation, scene.tasks, concurrency=4):
        long = queue.submit("work", data="long")
        assert scene.began["long"].wait(PATIENCE)
        suspect = queue.submit("work", data="suspect", delay=timedelta(hours=1))
        suspected(suspect, installation).make_ready()
        assert not scene.began["suspect"].wait(A_MOMENT)
        assert suspect.refresh().attempt == 0, "it is not claimed"
        scene.may_end["long"].set()
        assert scene.began["suspect"].wait(PATIENCE)
        quick = [queue.submit("work", data="quick") for _ in range(5)]
        assert not scene.began["quick"].wait(A_MOMENT)
        scene.may_end["suspect"].set()
        ended(installation, long, suspect, *quick)


def test_two_suspects_run_one_after_the_other(
    installation: Installation, queue: Queue, scene: Scene
) -> None:
    jobs = [queue.submit("work", data="suspect") for _ in range(3)]
    for job in jobs:
        suspected(job, installation)
    with working(installation, scene.tasks, concurrency=4):
        assert scene.began["suspect"].wait(PATIENCE)
        threading.Event().wait(A_MOMENT)
        assert sum(job.refresh().state is State.RUNNING for job in jobs) == 1
        scene.may_end["suspect"].set()
        ended(installation, *jobs)


def test_worker_that_stops_leaves_a_suspect_that_waits_to_others(
    installation: Installation, queue: Queue, scene: Scene
) -> None:
    suspect = queue.submit("work", data="suspect", delay=timedelta(hours=1))
    with working(installation, scene.tasks, concurrency=2) as one:
        queue.submit("work", data="long")
        assert scene.began["long"].wait(PATIENCE)
        suspected(suspect, installation).make_ready()
        assert not scene.began["suspect"].wait(A_MOMENT)
        one.stop(Urgency.NORMAL)
        scene.may_end["long"].set()
        assert one.ended()
    assert suspect.refresh().attempt == 0
    scene.may_end["suspect"].set()
    with working(installation, scene.tasks):
        ended(installation, suspect)


@pytest.mark.exhaustive
def test_worker_with_a_job_that_does_not_end_goes_on_with_others(scene: Scene) -> None:
    installation = installation_in_real_time(lease=timedelta(seconds=1))
    queue = RemoteJob(installation).queue()
    with working(installation, scene.tasks, concurrency=3):
        queue.submit("work", data="long")
        assert scene.began["long"].wait(PATIENCE)
        suspect = queue.submit("work", data="suspect", delay=timedelta(hours=1))
        suspected(suspect, installation).make_ready()
        assert not scene.began["suspect"].wait(A_MOMENT)
        ended(installation, queue.submit("work", data="quick"))
        assert not scene.began["suspect"].is_set()
        for name in ("long", "suspect"):
            scene.may_end[name].set()
        ended(installation, suspect)
