"""A system in memory, and a worker that takes one step at a time."""

from __future__ import annotations

import pytest

from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)
