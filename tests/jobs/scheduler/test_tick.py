"""The scheduler's tick: what it sends, how often, and what does not hold it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import RemoteJob, RunningJob, State, Submission
from remotejob.domain.check_times import GRACE
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted

T = TypeVar("T")
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"default": ("work",), "gone": ("work",)})


def submit_delayed(installation: Installation, count: int, queue: str = "default") -> None:
    RemoteJob(installation).queue(queue).submit_many(
        Submission(task="work", delay=timedelta(hours=1)) for _ in range(count)
    )


@pytest.mark.exhaustive
def test_a_backlog_nobody_works_on_is_sent_for_ever_more_rarely(
    installation: Installation, clock: FakeClock
) -> None:
    submit_delayed(installation, 10)
    clock.advance(timedelta(hours=1))
    sent = 0
    for _ in range(24 * 60):
        sent += tick(installation)["sent"]
        clock.advance(MINUTE)

    # after 2, 4, 8 … minutes, and then every six hours
    assert sent <= 10 * 14


def test_a_message_that_was_lost_is_sent_again_after_the_grace(
    installation: Installation, clock: FakeClock
) -> None:
    submit_delayed(installation, 1)
    clock.advance(timedelta(hours=1))

    first = tick(installation)["sent"]
    # a tick looks as far ahead as the next one
    clock.advance(GRACE - MINUTE - SECOND)
    early = tick(installation)["sent"]
    clock.advance(SECOND)
    again = tick(installation)["sent"]

    assert (first, early, again) == (1, 0, 1)


def test_jobs_of_a_queue_that_is_no_longer_deployed_hold_back_no_others(
    installation: Installation, clock: FakeClock
) -> None:
    submit_delayed(installation, 20, "gone")
    submit_delayed(installation, 20)
    left = {"default": installation.queues["default"]}
    now = replace(installation, queues=left)
    clock.advance(timedelta(hours=1))

    counts = tick(now)
    worker = Simulation(installation=now)
    worker.tasks.task("work")(_nothing)
    while worker.step():
        pass

    states = [job.state for job in RemoteJob(installation).queue("default").jobs()]
    assert states == [State.COMPLETED] * 20
    assert counts["without a queue"] == 20
    assert tick(now)["without a queue"] == 0, "they are not looked at again at once"


class FailsOnce:
    """A network that fails one call of a kind."""

    def __init__(self, name: str, first: object) -> None:
        self._meant: tuple[str, object] | None = (name, first)

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if (name, arguments[0]) == self._meant:
            self._meant = None
            raise ConnectionError("the network is gone")
        return function()


def test_a_query_that_fails_holds_back_no_other(
    installation: Installation, clock: FakeClock
) -> None:
    submit_delayed(installation, 40)
    clock.advance(timedelta(hours=1))

    counts = tick(intercepted(installation, FailsOnce("store.attention", "waiting")))
    later = tick(installation)

    assert counts["shards failed"] == 1
    assert 0 < counts["sent"] < 40
    assert counts["sent"] + later["sent"] == 40


def test_time_that_is_up_leaves_the_rest_to_the_next_tick(
    installation: Installation, clock: FakeClock
) -> None:
    submit_delayed(installation, 40)
    clock.advance(timedelta(hours=1))

    assert tick(installation, time_is_up=lambda: True)["sent"] == 0
    assert tick(installation)["sent"] == 40


def _nothing(job: RunningJob) -> None:
    pass
