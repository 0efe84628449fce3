"""A system in memory in real time, for workers with their threads."""

from __future__ import annotations

import pytest

from remotejob import Queue, RemoteJob
from remotejob.ports import Installation
from remotejob.tasks import Registry
from tests.systems import installation_in_real_time


@pytest.fixture
def installation() -> Installation:
    return installation_in_real_time()


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


@pytest.fixture
def tasks() -> Registry:
    return Registry()
