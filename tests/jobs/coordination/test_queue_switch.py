"""The switch of a queue: who turns it, what stands in its item, and who obeys without a worker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import RemoteJob, State, StoppedQueue, Submission, UnknownQueue, Why
from remotejob.backends.memory import MemoryFleet
from remotejob.domain.fleet import WorkersDescription
from remotejob.domain.queue_switch import switch_key, turned
from remotejob.domain.times import from_ms
from remotejob.domain.transactions import Put
from remotejob.jobs.coordination.queue_switch import stop_of
from remotejob.jobs.scheduler.scale import scale
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from tests.jobs.scheduler.test_resend import lose_messages

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def by(name: str, installation: Installation) -> RemoteJob:
    return RemoteJob(replace(installation, actor=name))


def test_a_queue_is_stopped_once_and_says_since_when_and_by_whom(
    installation: Installation, clock: FakeClock
) -> None:
    queue = by("ana@laptop", installation).queue()
    assert queue.stopped() is None
    since = from_ms(clock.now_ms())
    first = StoppedQueue(queue="default", since=since, by="ana@laptop")
    assert queue.stop() == first

    clock.advance(MINUTE)
    other = by("ben@desk", installation)
    assert other.queue().stop() == first
    assert other.stopped() == [first]

    other.queue().start()
    other.queue().start()
    assert queue.stopped() is None
    assert queue.stop().since == from_ms(clock.now_ms())


def test_all_queues_are_stopped_and_started_at_once(clock: FakeClock) -> None:
    system = RemoteJob(memory_installation(clock, queues={"a": ("work",), "b": ("work",)}))
    assert [stopped.queue for stopped in system.stop_all()] == ["a", "b"]
    system.queue("a").start()
    assert [stopped.queue for stopped in system.stopped()] == ["b"]
    system.start_all()
    assert system.stopped() == []
    with pytest.raises(UnknownQueue):
        system.queue("c").stop()


def test_a_stop_that_takes_effect_after_the_start_is_refused(installation: Installation) -> None:
    queue = RemoteJob(installation).queue()
    late = turned("default", None, stopped_ms=1, by="late", token="late")
    queue.stop()
    second = installation.store.item(switch_key("default"))
    queue.start()
    again = turned("default", second, stopped_ms=1, by="late", token="late")

    for put in (late, again):
        assert installation.store.transact([put]) is not None
    assert queue.stopped() is None


class _Loses:
    """Makes the transaction, and loses the answer."""

    def __init__(self, *, meanwhile: Any = None) -> None:
        self.left, self.meanwhile = 1, meanwhile
        self.asked: list[str] = []

    def request(self, name: str, arguments: tuple[Any, ...], function: Any) -> Any:
        self.asked.append(name)
        if name == "store.transact" and self.left:
            self.left -= 1
            if self.meanwhile is not None:
                self.meanwhile()
            else:
                function()
            return function()
        return function()


def test_a_lost_answer_and_a_rival_leave_the_queue_stopped_once(
    installation: Installation,
) -> None:
    assert RemoteJob(intercepted(installation, _Loses())).queue().stop().by == "somebody"
    RemoteJob(installation).queue().start()

    rival = by("rival", installation).queue()
    mine = replace(intercepted(installation, _Loses(meanwhile=rival.stop)), actor="me")
    assert RemoteJob(mine).queue().stop().by == "rival"


@pytest.mark.parametrize(
    "odd",
    [
        {Field.CONTENT: "{", Field.TOKEN: "t"},
        {Field.CONTENT: 5},
        {Field.CONTENT: '{"stopped_ms":"now","by":"x"}', Field.TOKEN: 7},
        {Field.CONTENT: '{"stopped_ms":1e99,"by":"x"}'},
        {Field.JOB: "x"},
    ],
)
def test_an_odd_switch_stops_nothing_and_can_be_turned(
    installation: Installation, odd: dict[str, Any]
) -> None:
    installation.store.transact([Put(key=switch_key("default"), content=odd)])
    queue, before = RemoteJob(installation).queue(), installation.skipped.count
    assert queue.stopped() is None
    assert installation.skipped.count == before + 1
    [found] = RemoteJob(installation).doctor().findings
    assert (found.partition, found.name) == ("switch#default", "switch")
    before = installation.skipped.count

    assert queue.stop().by == "somebody"
    queue.start()
    assert queue.stopped() is None
    assert installation.skipped.count == before


def test_submits_go_on_and_why_says_that_the_queue_is_stopped(
    installation: Installation, clock: FakeClock
) -> None:
    queue = by("ana@laptop", installation).queue()
    queue.stop()
    job = queue.submit("work")
    why = job.why()
    assert why.code is Why.STOPPED
    assert f"since {from_ms(clock.now_ms()):%Y-%m-%dT%H:%M:%SZ}, by ana@laptop" in why.text
    assert why.remedy == "start it: remotejob start default"


def workers(*, at_least: int) -> WorkersDescription:
    return WorkersDescription(
        cluster="c",
        service="s",
        min_workers=at_least,
        max_workers=10,
        jobs_at_a_time=1,
        idle=timedelta(minutes=5),
        capacity=(),
    )


@pytest.mark.parametrize(("at_least", "nudged"), [(1, False), (0, True)])
def test_none_come_to_a_stopped_queue_though_no_message_is_seen(
    clock: FakeClock,
    at_least: int,
    nudged: bool,  # noqa: FBT001
) -> None:
    fleet = MemoryFleet({"default": workers(at_least=at_least)})
    installation = memory_installation(clock, fleet=fleet)
    queue = RemoteJob(installation).queue()
    queue.stop()
    assert [one.desired for one in scale(installation, nudged=nudged)] == [0]
    queue.start()
    assert [one.desired for one in scale(installation, nudged=nudged)] == [1]


def test_the_tick_of_an_idle_queue_does_not_read_its_switch(clock: FakeClock) -> None:
    fleet = MemoryFleet({"default": workers(at_least=0)})
    installation = memory_installation(clock, fleet=fleet)
    reads = _Loses()
    scale(intercepted(installation, reads))
    assert "store.item" not in reads.asked
    RemoteJob(installation).queue().submit("work")
    scale(intercepted(installation, reads))
    assert reads.asked.count("store.item") == 1


def test_a_stopped_queues_workers_go_and_none_come_even_when_nudged(clock: FakeClock) -> None:
    installation = memory_installation(clock, fleet=MemoryFleet({"default": workers(at_least=1)}))
    queue = RemoteJob(installation).queue()
    queue.submit_many([Submission("work") for _ in range(3)])

    def desired(*, nudged: bool = False) -> int:
        [scaled] = scale(installation, nudged=nudged)
        return scaled.desired

    queue.stop()
    assert [desired(), desired(nudged=True)] == [0, 0]
    queue.start()
    assert desired() == 3
    queue.stop()
    found = []
    for _ in range(9):
        clock.advance(MINUTE)
        found.append(desired())
    assert found[-1] == 0
    [scaled] = scale(installation)
    assert "queue 'default' is stopped since" in scaled.note.reason


def test_a_job_of_a_queue_stopped_for_weeks_outlives_its_messages(clock: FakeClock) -> None:
    installation = memory_installation(clock)
    worker = Simulation(installation=installation)
    worker.tasks.task("work")(lambda job: "done")
    queue = RemoteJob(installation).queue()
    queue.stop()
    jobs = [queue.submit("work"), queue.submit("work", delay=DAY)]
    for day in range(1, 36):
        clock.advance(DAY)
        if day % 14 == 0:
            # SQS deletes what is older
            lose_messages(installation)
        tick(installation)
        sweep(installation)
    assert stop_of("default", installation) is not None

    queue.start()
    while worker.step():
        pass
    assert [(job.refresh().state, job.attempt) for job in jobs] == [(State.COMPLETED, 1)] * 2
