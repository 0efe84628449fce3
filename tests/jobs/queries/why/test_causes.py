"""Each cause that keeps a job from running is made, and `why` names it with the remedy."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Final

import pytest

from remotejob.backends.memory import MemoryFleet
from remotejob.container.ecs_task import METADATA, ecs_task
from remotejob.domain.errors import AccessProblem
from remotejob.domain.fleet import FleetStatus, StoppedTask
from remotejob.jobs.queries.why import Why, ecs
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.aws import counted_requests
from tests.jobs.queries.why.causes import (
    CAUSES,
    DESCRIBED,
    MINUTE,
    TASK,
    Cause,
    Scene,
    exited,
    stopped,
)

MOST_READS: Final = 10

_READS_OF_ECS: Final = 4
"""The description, the service, the list of its stopped tasks, and these: one request each."""


@pytest.fixture
def scene(installation: Installation, clock: FakeClock, worker: Simulation) -> Scene:
    return Scene(installation=installation, clock=clock, worker=worker)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_cause_is_named_with_its_remedy(cause: Cause, scene: Scene) -> None:
    job = cause.make(scene)

    with counted_requests() as requests:
        reason = job.why()

    assert reason.code is cause.code, reason
    for words in cause.words:
        assert words in reason.text
    assert cause.remedy in reason.remedy
    assert reason.unseen == ()
    json.dumps(dict(reason.details))
    assert requests.total() + _READS_OF_ECS <= MOST_READS, requests


def test_every_code_but_that_of_a_running_job_has_a_cause_here() -> None:
    assert {cause.code for cause in CAUSES} == set(Why) - {Why.RUNNING, Why.SHORT}
    assert len(CAUSES) >= 30


class Blind(MemoryFleet):
    """A fleet that these credentials may not see."""

    def status(self, queue: str) -> FleetStatus | None:
        raise AccessProblem(f"AWS does not allow these credentials ecs:DescribeServices on {queue}")


def test_what_cannot_be_seen_is_said(scene: Scene) -> None:
    job = scene.elsewhere(scene.submit(), fleet=Blind({"default": DESCRIBED}))

    reason = job.why()

    assert reason.code is Why.NO_WORKER
    (unseen,) = reason.unseen
    assert "ecs:DescribeServices" in unseen


def test_ecs_that_does_not_answer_holds_up_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecs, "PATIENCE", timedelta(0))
    let_go = threading.Event()

    class Hung(MemoryFleet):
        def status(self, queue: str) -> FleetStatus | None:
            let_go.wait(60)
            return super().status(queue)

    job = scene.elsewhere(scene.submit(), fleet=Hung({"default": DESCRIBED}))
    try:
        reason = job.why()
    finally:
        let_go.set()

    assert reason.code is Why.NO_WORKER
    assert reason.unseen == ("ECS did not answer within 0 s",)


def test_crash_of_one_worker_is_not_the_cause_while_another_lives(scene: Scene) -> None:
    scene.live(ecs_task=TASK)
    scene.live(name="w2", ecs_task="0" * 32)
    scene.ecs(stopped=exited(139), running=1)

    reason = scene.submit().why()

    assert reason.code is Why.QUEUED
    assert reason.details["workers"] == ["w2"]


def test_worker_that_gave_a_sign_after_the_last_task_stopped_lives(scene: Scene) -> None:
    """Started by hand, it is no task of ECS."""
    scene.ecs(stopped=exited(139), age=MINUTE)
    scene.live()

    assert scene.submit().why().code is Why.QUEUED


@pytest.mark.parametrize(
    "task",
    [
        stopped("Scaling activity initiated by (deployment d)", "ServiceSchedulerInitiated", 137),
        stopped("Your Spot Task was interrupted.", "SpotInterruption", 143),
        exited(0),
    ],
    ids=["scaled", "spot", "ended"],
)
def test_worker_that_ecs_was_asked_to_stop_has_not_crashed(task: StoppedTask, scene: Scene) -> None:
    scene.ecs(stopped=task, desired=0)

    assert scene.submit().why().code is Why.WAKING


def test_trouble_that_is_over_is_not_the_cause(scene: Scene) -> None:
    scene.ecs(
        "(service s) has started 1 tasks: (task t).",
        "(service s) was unable to place a task. Reason: Capacity is unavailable at this time.",
        running=1,
    )
    assert scene.submit().why().code is Why.STARTING

    scene.ecs(stopped=exited(139), age=16 * MINUTE, desired=0)
    assert scene.submit().why().code is Why.WAKING


def test_trouble_of_a_worker_is_forgotten_once_it_is_over(scene: Scene) -> None:
    presence = scene.live()
    presence.say_trouble("handle a message", OSError("no route to host"))
    scene.clock.advance(MINUTE)
    presence.give_if_due(lambda sign: sign())
    job = scene.submit()
    assert job.why().code is Why.WORKER_TROUBLE

    presence.trouble_over("handle a message")
    scene.clock.advance(MINUTE)
    presence.give_if_due(lambda sign: sign())

    assert job.why().code is Why.QUEUED


@pytest.mark.parametrize(
    ("uri", "task"),
    [
        (f"http://169.254.170.2/v4/{TASK}-2495160603", TASK),
        ("http://169.254.170.2/v4/9781c248-0edd-4cdb-9a93-f63cb662a5d3", None),
        ("", None),
    ],
)
def test_worker_knows_its_task_by_its_environment(uri: str, task: str | None) -> None:
    assert ecs_task({METADATA: uri}) == task
