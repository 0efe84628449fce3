"""A timer of the worker's own outlives a job, and is not said to be the task's."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from remotejob.worker.runs import surroundings
from remotejob.worker.runs.surroundings import OF_THREADS, Surroundings, own_timer


@pytest.fixture(autouse=True)
def no_timer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(surroundings, "_OWN_TIMERS", set())
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_timer_that_a_job_leaves_is_ended() -> None:
    before = Surroundings(OF_THREADS)
    signal.setitimer(signal.ITIMER_REAL, 1000)

    assert "timers" in before.restore().restored
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_timer_that_ends_a_stopping_worker_stays() -> None:
    before = Surroundings(OF_THREADS)
    own_timer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 1000)

    assert before.restore().restored == ()
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
