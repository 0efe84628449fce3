"""A system on each backend, under a clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from _pytest.outcomes import Failed

from remotejob import RunningJob
from remotejob.ports import Installation
from remotejob.tasks import Registry, Task
from remotejob.testing import FakeClock
from remotejob.worker.messages.handler import ProcessDeath
from tests.systems import BACKENDS, installation_on

LEASE = timedelta(minutes=15)
"""Long, so that days have few heartbeats."""


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield replace(made, lease=LEASE)


class Unforgiving(Registry):
    """What a task finds wrong is the test's failure, and not the run's."""

    def __getitem__(self, name: str) -> Task:
        task = super().__getitem__(name)

        def function(job: RunningJob) -> Any:
            try:
                return task.function(job)
            except (AssertionError, Failed) as problem:
                raise Wrong(str(problem)) from problem

        return replace(task, function=function)


class Wrong(ProcessDeath):
    """It ends the worker's step."""


@pytest.fixture
def tasks() -> Registry:
    return Unforgiving()
