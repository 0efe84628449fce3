"""A system in memory in real time, for workers with their threads."""

from __future__ import annotations

import pytest

from remotejob.ports import Installation
from tests.systems import installation_in_real_time


@pytest.fixture
def installation() -> Installation:
    return installation_in_real_time()
