"""A system on each backend, with hooks of its own, and what they were told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from remotejob import RunningJob
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.domain.errors import Fatal
from remotejob.domain.events import Event
from remotejob.domain.retry import Retry
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation
from tests.systems import BACKENDS, installation_on


@dataclass
class StopRequests:
    """What hooks for every event were told, in order."""

    events: list[Any] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [one.event for one in self.events]

    def of(self, event: Event) -> list[Any]:
        return [one for one in self.events if one.event is event]

    def job(self, event: Event) -> JobEvent:
        """The one event of its kind."""
        (one,) = self.of(event)
        assert isinstance(one, JobEvent)
        return one

    def clear(self) -> None:
        self.events.clear()


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture(params=BACKENDS)
def installation(
    request: pytest.FixtureRequest, clock: FakeClock, hooks: Hooks
) -> Iterator[Installation]:
    queues = {"default": ("work", "other")}
    with installation_on(request.param, clock, queues=queues) as made:
        yield replace(made, hooks=hooks)


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation)

    @simulation.tasks.task("work", retry=Retry(max_attempts=2))
    def work(job: RunningJob) -> str:
        match job.data:
            case "fail":
                raise ValueError("no")
            case "fatal":
                raise Fatal("never")
            case "half":
                job.progress(1, 2)
        return "done"

    simulation.tasks.task("other")(lambda job: "other")
    return simulation


@pytest.fixture
def told(hooks: Hooks) -> StopRequests:
    """Collects every event of a job; commands only where a test asks for them."""
    heard = StopRequests()
    for event in Event:
        if event not in (Event.CALL, Event.ERROR):
            hooks.on(event, heard.events.append)
    return heard
