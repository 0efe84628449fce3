"""What all simulations share."""

from __future__ import annotations

import pytest

from tests.one_thread import OneThread


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remotejob.jobs.scheduler.tick.ThreadPoolExecutor", OneThread)
