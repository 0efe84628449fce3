"""The scheduler scales each queue by what it finds, and one queue's failure is its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob.backends.memory import MemoryFleet
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.fleet import FleetStatus, StoppedTask, WorkersDescription
from remotejob.jobs.coordination.scaling_state import ScalingNote, load_scaling, partition_of
from remotejob.jobs.queries.workers import partition_of as signs_of
from remotejob.jobs.scheduler.scale import Scaled, scale
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, memory_installation
from tests.aws import aws_installation, counted_requests

MINUTE = timedelta(minutes=1)
RULES = WorkersDescription(
    cluster="c",
    service="s",
    min_workers=0,
    max_workers=10,
    jobs_at_a_time=2,
    idle=timedelta(minutes=5),
    capacity=(),
)
QUEUES = {"a": ("work",), "b": ("work",)}


@pytest.fixture
def fleet() -> MemoryFleet:
    return MemoryFleet(dict.fromkeys(QUEUES, RULES))


@pytest.fixture
def installation(clock: FakeClock, fleet: MemoryFleet) -> Installation:
    return memory_installation(clock, queues=QUEUES, fleet=fleet)


def submit(installation: Installation, queue: str, count: int) -> None:
    for _ in range(count):
        RemoteJob(installation).queue(queue).submit("work")


def desired(installation: Installation) -> dict[str, int]:
    return {one.queue: one.desired for one in scale(installation)}


def note(installation: Installation, queue: str = "a") -> ScalingNote:
    found = load_scaling(queue, installation)
    assert found is not None
    return found


def test_each_queue_gets_the_workers_that_its_own_jobs_need(
    installation: Installation, fleet: MemoryFleet
) -> None:
    submit(installation, "a", 5)
    assert desired(installation) == {"a": 3, "b": 0}
    status = fleet.status("a")
    assert status is not None
    assert status.desired == 3
    assert note(installation).reason == "5 jobs wait and 0 are held, 0 workers are busy"


def test_workers_go_when_their_work_is_done(installation: Installation, clock: FakeClock) -> None:
    submit(installation, "a", 5)
    scale(installation)
    for channel in Channel:
        _delete_all(installation, "a", channel)
    found = []
    for _ in range(9):
        clock.advance(MINUTE)
        found.append(desired(installation)["a"])
    assert found == [3, 1, 1, 1, 1, 0, 0, 0, 0]
    assert note(installation).reason == "no work"


def _delete_all(installation: Installation, queue: str, channel: Channel) -> None:
    address = Address(queue, channel)
    received = installation.messages.receive(
        address, limit=10, wait=timedelta(0), hidden=timedelta(minutes=1)
    )
    installation.messages.delete(address, [one.receipt for one in received])


def sign(installation: Installation, queue: str, name: str, *, jobs: int = 1) -> None:
    now = installation.clock.now_ms()
    content = {
        "abilities": ["work"],
        "concurrency": 1,
        "version": "1",
        "started": now,
        "seen": now,
        "running": [["job", "work", now]] * jobs,
    }
    installation.store.put_note(
        signs_of(queue), f"sign#{name}", json.dumps(content), expires_s=now // 1000 + 9999
    )


def test_busy_workers_are_counted_by_machine_and_not_beyond_those_that_run(
    installation: Installation, fleet: MemoryFleet, clock: FakeClock
) -> None:
    for name in ("ip-1.7", "ip-1.8", "ip-2.7", "idle.7"):
        sign(installation, "a", name, jobs=0 if name.startswith("idle") else 1)
    fleet.put("a", FleetStatus(desired=6, running=6, pending=0))
    scale(installation)
    clock.advance(MINUTE)
    # two processes a machine
    assert desired(installation)["a"] == 2

    fleet.put("a", FleetStatus(desired=6, running=1, pending=0))
    scale(installation)
    clock.advance(MINUTE)
    for name in ("ip-1.7", "ip-2.7"):
        sign(installation, "a", name)
    assert desired(installation)["a"] == 1


@pytest.mark.parametrize("broken", ["describe", "status", "stopped", "set_desired"])
def test_one_queue_that_fails_does_not_hold_back_the_other(
    installation: Installation,
    fleet: MemoryFleet,
    broken: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fleet.set_desired("a", 1)
    for queue in QUEUES:
        submit(installation, queue, 8)
    system = replace(installation, fleet=_Failing(fleet, broken, "a"))
    assert [one.queue for one in scale(system)] == ["b"]
    assert desired(installation)["b"] == 4
    assert "workers not scaled" in caplog.text


class _Failing:
    """A fleet of which one method fails for one queue."""

    def __init__(self, fleet: MemoryFleet, method: str, queue: str) -> None:
        self._fleet, self._method, self._queue = fleet, method, queue

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(queue: str, *args: Any) -> Any:
            if (name, queue) == (self._method, self._queue):
                raise ConnectionError("no answer")
            return getattr(self._fleet, name)(queue, *args)

        return call


def test_a_lane_that_cannot_be_counted_stops_nobody(
    installation: Installation, fleet: MemoryFleet, clock: FakeClock
) -> None:
    fleet.set_desired("a", 5)
    system = replace(installation, messages=_NoCounts(installation.messages))
    for _ in range(20):
        clock.advance(MINUTE)
        assert desired(system)["a"] == 5
    assert note(installation).reason.startswith("the messages of a lane could not be counted")


class _NoCounts:
    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)

    def depth(self, address: object) -> Any:
        raise ConnectionError(f"no answer about {address}")


def test_failed_starts_are_read_noted_and_not_repeated(
    installation: Installation, fleet: MemoryFleet, clock: FakeClock
) -> None:
    submit(installation, "a", 20)
    assert desired(installation)["a"] == 10
    failed = tuple(
        StoppedTask(
            id=str(number),
            at_ms=clock.now_ms() + number,
            reason="CannotPullContainerError: no such image",
            code="TaskFailedToStart",
        )
        for number in (3, 2, 1)
    )
    fleet.put("a", FleetStatus(desired=10, running=0, pending=10), stopped=failed)
    clock.advance(MINUTE)
    (scaled,) = (one for one in scale(installation) if one.queue == "a")
    assert (scaled.desired, scaled.before) == (1, 10)
    assert scaled.note.failed_starts == 3
    assert scaled.note.state.failing_since_ms == clock.now_ms()
    assert scaled.note.last_failure == "CannotPullContainerError: no such image"


def test_an_idle_queue_writes_nothing_and_asks_little(clock: FakeClock, fleet: MemoryFleet) -> None:
    with aws_installation(clock, queues=QUEUES) as made:
        system = replace(made, fleet=fleet)
        for _ in range(2):
            clock.advance(MINUTE)
            scale(system)
        with counted_requests() as requests:
            clock.advance(MINUTE)
            scale(system)
    # for each of two queues: three lanes, and what was noted
    assert requests == {"GetQueueAttributes": 2 * 3, "Query": 2}


def test_a_queue_without_workers_of_its_own_is_left_alone(installation: Installation) -> None:
    described = {"a": replace(RULES, max_workers=0)}
    submit(installation, "a", 3)
    assert scale(replace(installation, fleet=MemoryFleet(described))) == []


def test_a_nudge_scales_the_queues_it_names_and_no_other(installation: Installation) -> None:
    found = scale(installation, queues=["a", "unknown"], nudged=True)
    assert [(one.queue, one.desired) for one in found] == [("a", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no JSON",
        '{"state": {"idle_since_ms": -1}}',
        '{"state": {"idle_since_ms": 9e99}}',
        '{"state": {}, "reason": 3}',
        '{"state": {}, "desired": "many"}',
        '{"state": {"mended_ms": 99999999999999}}',
    ],
)
def test_a_note_that_makes_no_sense_is_counted_and_taken_as_absent(
    installation: Installation, text: str
) -> None:
    installation.store.put_note(partition_of("a"), "state", text, expires_s=2**40)
    assert load_scaling("a", installation) is None
    assert installation.skipped.count == 1
    submit(installation, "a", 1)
    assert desired(installation)["a"] == 1
    assert note(installation).desired == 1


def test_what_was_scaled_says_what_it_was_before(installation: Installation) -> None:
    submit(installation, "b", 1)
    found = {one.queue: one for one in scale(installation)}
    assert isinstance(found["b"], Scaled)
    assert (found["b"].before, found["b"].desired) == (0, 1)
    assert (found["a"].before, found["a"].desired) == (0, 0)
