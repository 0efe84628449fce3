"""Jobs together in several queues: a worker sends to its own queue alone, the scheduler to all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from remotejob import Job, RemoteJob, RunningJob, State
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock, queues={"ours": ("work",), "theirs": ("work",)})


@pytest.fixture(autouse=True)
def _nothing_is_refused(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A message that was refused would be an error in the log, and sent again for ever."""
    yield
    assert not [one for one in caplog.get_records("call") if one.levelno >= logging.ERROR]


@pytest.fixture
def remote(installation: Installation) -> RemoteJob:
    return RemoteJob(installation)


class Refusing:
    """Message queues that refuse to send to any queue but one, as IAM does."""

    def __init__(self, installation: Installation, queue: str) -> None:
        self._messages = installation.messages
        self._queue = queue

    def __getattr__(self, name: str) -> object:
        return getattr(self._messages, name)

    def send(self, address: Address, messages: object) -> None:
        assert address.queue == self._queue, f"sent to {address}"
        self._messages.send(address, messages)  # type: ignore[arg-type]


def worker_of(
    queue: str, installation: Installation, *, while_running: Callable[[], None] = lambda: None
) -> Simulation:
    limited = replace(
        installation,
        sends_to=frozenset({queue}),
        messages=Refusing(installation, queue),  # type: ignore[arg-type]
    )
    worker = Simulation(installation=limited, queue=queue)

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == "fail":
            raise ValueError("it cannot be done")
        while_running()

    return worker


def off(worker: Simulation) -> None:
    while worker.step():
        pass


def waiting_messages(installation: Installation, queue: str, channel: Channel) -> int:
    return installation.messages.depth(Address(queue, channel)).visible


def states(*jobs: Job) -> list[State]:
    return [job.refresh().state for job in jobs]


def test_dependent_of_another_queue_is_released_and_sent_by_the_next_tick(
    remote: RemoteJob, installation: Installation
) -> None:
    first = remote.queue("ours").submit("work")
    near = remote.queue("ours").submit("work", depends=[first])
    far = remote.queue("theirs").submit("work", depends=[first])

    off(worker_of("ours", installation))

    assert states(first, near, far) == [State.COMPLETED, State.COMPLETED, State.WAITING]
    assert not far.record.blocked
    assert waiting_messages(installation, "theirs", Channel.NORMAL) == 0
    tick(installation)
    off(worker_of("theirs", installation))
    assert states(far) == [State.COMPLETED]


def test_dependent_of_another_queue_is_cancelled_and_its_end_carried_out_by_the_next_tick(
    remote: RemoteJob, installation: Installation
) -> None:
    first = remote.queue("ours").submit("work", data="fail")
    second = remote.queue("theirs").submit("work", depends=[first])
    third = remote.queue("ours").submit("work", depends=[second])

    off(worker_of("ours", installation))

    assert states(first, second, third) == [State.FAILED, State.CANCELLED, State.WAITING]
    assert second.record.owed is not None
    assert first.record.owed is None, "its own consequences are all carried out"
    tick(installation)
    assert states(third) == [State.CANCELLED]
    assert second.refresh().record.owed is None
    assert waiting_messages(installation, "theirs", Channel.FAILED) == 1
    assert waiting_messages(installation, "ours", Channel.FAILED) == 2


def test_job_of_another_queue_that_waits_for_a_resource_is_sent_by_the_next_tick(
    remote: RemoteJob, installation: Installation
) -> None:
    first = remote.queue("ours").submit("work", resource="scanner")
    second = remote.queue("theirs").submit("work", resource="scanner")
    theirs = worker_of("theirs", installation)

    def meanwhile() -> None:
        off(theirs)
        assert second.refresh().record.parked == "resource#scanner"

    off(worker_of("ours", installation, while_running=meanwhile))

    assert states(first, second) == [State.COMPLETED, State.WAITING]
    assert second.record.parked is None
    tick(installation)
    off(theirs)
    assert states(second) == [State.COMPLETED]
