"""A system in memory in real time, for workers with their threads."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from remotejob import Queue, RemoteJob
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import memory_installation


@pytest.fixture
def installation() -> Installation:
    clock = SystemClock()
    return replace(
        memory_installation(), clock=clock, messages=MemoryMessages(clock), entropy=os.urandom
    )


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


@pytest.fixture
def tasks() -> Registry:
    return Registry()
