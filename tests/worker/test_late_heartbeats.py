"""Heartbeats that take effect late, or overtake the commit, set nothing back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Queue, RemoteJob, State
from remotejob.domain.changes import Change
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import Unreachable
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.heartbeat import beat
from tests.progress import reported

T = TypeVar("T")

BEAT = timedelta(seconds=20)
MOMENT = timedelta(milliseconds=7)


def _is(name: str, arguments: tuple[Any, ...], condition: str) -> bool:
    (change,) = arguments if name == "store.update" else (None,)
    return isinstance(change, Change) and change.condition.name == condition


class HeldUp:
    """The first heartbeat gets no answer, and takes effect when `arrive` is called."""

    def __init__(self) -> None:
        self.held: Callable[[], object] | None = None

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if self.held is None and _is(name, arguments, "own_live_run"):
            self.held = function
            raise Unreachable("timed out")
        return function()

    def arrive(self) -> None:
        assert self.held is not None
        self.held()


@dataclass
class BeatsMeanwhile:
    """While the commit is on its way, a heartbeat takes effect."""

    clock: FakeClock
    beat: Callable[[], object] = lambda: None
    commits: int = 0

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if _is(name, arguments, "own_run"):
            self.commits += 1
            if self.commits == 1:
                self.clock.advance(MOMENT)
                self.beat()
        return function()


def working(installation: Installation, tasks: Registry, interceptor: Any) -> Simulation:
    return Simulation(installation=intercepted(installation, interceptor), tasks=tasks)


def test_a_late_heartbeat_does_not_shorten_the_lease(
    installation: Installation, clock: FakeClock, queue: Queue, tasks: Registry
) -> None:
    held_up, leases = HeldUp(), []
    worker = working(installation, tasks, held_up)

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.progress(1, 4)
        clock.advance(BEAT)
        worker.beat()
        clock.advance(BEAT)
        job.progress(3, 4)
        worker.beat()
        before = installation.store.get(job.id)
        held_up.arrive()
        after = installation.store.get(job.id)
        leases.append((before, after))
        clock.advance(BEAT)
        worker.beat()

    job = queue.submit("work")
    worker.step()

    ((before, after),) = leases
    assert before is not None
    assert [*before.progress] == [3, 4]
    assert after == before
    job.refresh()
    assert (job.state, job.attempt, job.record.crashes) == (State.COMPLETED, 1, 0)


class SetBack(FakeClock):
    """A clock whose time of day can be set back."""

    def __init__(self) -> None:
        super().__init__()
        self.back = timedelta(0)

    def now_ms(self) -> int:
        return super().now_ms() - self.back // timedelta(milliseconds=1)


def test_a_worker_whose_clock_is_set_back_keeps_its_lease(tasks: Registry) -> None:
    clock = SetBack()
    installation = memory_installation(clock)
    worker = Simulation(installation=installation, tasks=tasks)
    leases: list[int] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for done in range(6):
            clock.advance(BEAT)
            job.progress(done, 6)
            worker.beat()
            job.check()
            record = installation.store.get(job.id)
            assert record is not None
            assert record.lease_ms is not None
            leases.append(record.lease_ms)
            clock.back += BEAT / 2

    job = RemoteJob(installation).queue().submit("work")
    worker.step()

    job.refresh()
    assert (job.state, reported(job), job.attempt) == (State.COMPLETED, (5, 6), 1)
    assert leases == sorted(leases)


@pytest.mark.parametrize("ends", [State.COMPLETED, State.FAILED])
def test_a_commit_that_a_heartbeat_overtakes_sets_no_time_back(
    installation: Installation, clock: FakeClock, queue: Queue, tasks: Registry, ends: State
) -> None:
    beats = BeatsMeanwhile(clock)
    worker = working(installation, tasks, beats)

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        (run,) = worker.runs.running()
        beats.beat = lambda: beat(run)
        if ends is State.FAILED:
            raise ValueError("no")

    job = queue.submit("work")
    worker.step()

    job.refresh()
    assert (job.state, job.attempt, job.record.crashes) == (ends, 1, 0)
    assert beats.commits == 2
    assert job.record.finished_ms == job.record.updated_ms == clock.now_ms()
