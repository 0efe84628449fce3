"""The signs of life a worker gives, and what is seen of it. On both backends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from remotejob import Queue, RemoteJob, RunningJob, SettingsError, State, UnknownQueue
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.times import from_ms
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.queries.workers import (
    BUSY,
    GRACE,
    IDLE,
    KEPT,
    KEPT_FAILED,
    KEPT_IDLE,
    WorkerStatus,
)
from remotejob.ports import Address, Channel, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from remotejob.worker.lifecycle.presence import Presence, report_failed_start
from remotejob.worker.runs.run import Run
from remotejob.worker.worker import Worker, WorkerOptions
from tests.aws import aws_installation, counted_requests
from tests.end_to_end.waiting import until
from tests.systems import BACKENDS, installation_on

QUEUES = {"default": ("work", "draw"), "second": ("work",)}
SECOND = timedelta(seconds=1)


@pytest.fixture(params=BACKENDS)
def installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock, queues=QUEUES) as made:
        yield made


def presence(
    installation: Installation,
    *,
    running: Callable[[], list[Run]] = list,
    worker: str = "w1",
    queue: str = "default",
    abilities: tuple[str, ...] = ("work", "draw"),
    replaces: str | None = None,
) -> Presence:
    return Presence(
        installation,
        worker=worker,
        queue=queue,
        abilities=abilities,
        concurrency=4,
        running=running,
        replaces=replaces,
    )


def at_once(function: Callable[[], None]) -> None:
    function()


def only(remote: RemoteJob) -> WorkerStatus:
    (status,) = remote.workers()
    return status


def test_worker_says_who_it_is_and_what_it_can_do(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    started = from_ms(clock.now_ms())
    life = presence(installation)
    clock.advance(SECOND)
    life.give_if_due(at_once)

    status = only(remote)
    assert (status.name, status.queue, status.concurrency) == ("w1", "default", 4)
    assert status.abilities == ("draw", "work")
    assert (status.started_at, status.seen_at) == (started, started + SECOND)
    assert status.running == ()
    assert status.version[0].isdigit()
    assert status.alive
    assert not status.stopped


def test_worker_says_what_it_is_doing(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    life = presence(installation, running=worker.runs.running)
    seen: list[WorkerStatus] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        life.give_if_due(at_once)
        seen.append(only(remote))

    job = remote.queue().submit("work")
    clock.advance(SECOND)
    worker.step()

    (status,) = seen
    assert [(one.job_id, one.task) for one in status.running] == [(job.id, "work")]
    assert status.running[0].since == job.refresh().started_at


def test_worker_gives_a_sign_each_minute_while_busy_and_each_five_while_idle(
    installation: Installation, clock: FakeClock
) -> None:
    runs: list[Run] = []
    life = presence(installation, running=lambda: runs)
    given: list[float] = []

    def later(give: Callable[[], None]) -> None:
        given.append(clock.monotonic())
        give()

    def seconds(count: int) -> None:
        for _ in range(count):
            life.give_if_due(later)
            clock.advance(SECOND)

    seconds(700)
    assert given == [0, 300, 600]
    runs.append(a_run(clock))
    seconds(150)
    assert given == [0, 300, 600, 700, 760, 820]
    runs.clear()
    seconds(400)
    assert given == [0, 300, 600, 700, 760, 820, 880, 1180]


def test_idle_worker_that_falls_silent_is_dead_after_two_of_its_intervals(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    presence(installation).give_if_due(at_once)
    clock.advance(2 * IDLE + GRACE)
    assert (only(remote).alive, only(remote).takes_jobs) == (None, True)
    assert only(remote).age == 2 * IDLE + GRACE
    clock.advance(SECOND)
    assert (only(remote).alive, only(remote).takes_jobs) == (False, False)


def test_worker_that_is_busy_and_idle_in_turns_gives_no_more_than_a_sign_a_minute(
    installation: Installation, clock: FakeClock
) -> None:
    runs: list[Run] = []
    life = presence(installation, running=lambda: runs)
    given: list[float] = []

    def later(give: Callable[[], None]) -> None:
        given.append(clock.monotonic())
        give()

    one = a_run(clock)
    for second in range(600):
        runs[:] = [one] if second % 2 else []
        life.give_if_due(later)
        clock.advance(SECOND)
    assert all(later - earlier >= 60 for earlier, later in pairwise(given))
    assert len(given) == 10


def test_worker_that_has_become_idle_says_so_a_minute_after_it_was_busy(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    runs = [a_run(clock)]
    life = presence(installation, running=lambda: runs)
    life.give_if_due(at_once)
    assert len(only(remote).running) == 1
    runs.clear()

    clock.advance(BUSY - SECOND)
    life.give_if_due(at_once)
    assert len(only(remote).running) == 1
    clock.advance(SECOND)
    life.give_if_due(at_once)
    assert only(remote).running == ()


@pytest.mark.parametrize(("jobs", "later"), [(0, None), (1, False)])
def test_busy_worker_that_falls_silent_is_dead_and_an_idle_one_may_live(
    installation: Installation,
    remote: RemoteJob,
    clock: FakeClock,
    jobs: int,
    *,
    later: bool | None,
) -> None:
    runs = [a_run(clock) for _ in range(jobs)]
    presence(installation, running=lambda: runs).give_if_due(at_once)

    clock.advance(BUSY + GRACE)
    assert only(remote).alive is True
    clock.advance(SECOND)
    assert only(remote).alive is later
    assert not only(remote).stopped


def test_worker_that_is_about_to_stop_says_so_at_once_and_until_it_does(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    runs = [a_run(clock)]
    life = presence(installation, running=lambda: runs)
    life.give_if_due(at_once)
    assert (only(remote).draining, only(remote).takes_jobs) == (False, True)

    life.drain()
    assert not only(remote).draining
    clock.advance(SECOND)
    life.give_if_due(at_once)
    told = only(remote)
    assert (told.draining, told.takes_jobs, told.alive) == (True, False, True)
    assert told.seen_at == from_ms(clock.now_ms())
    clock.advance(SECOND)
    life.give_if_due(at_once)
    assert only(remote) == told, "said once, and then each minute"
    clock.advance(BUSY)
    life.give_if_due(at_once)
    assert only(remote).seen_at == from_ms(clock.now_ms())
    assert only(remote).draining

    life.stop()
    assert only(remote).stopped
    assert not only(remote).draining


def test_idle_worker_that_stops_says_so_once(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    life = presence(installation)
    life.give_if_due(at_once)
    before = only(remote)

    life.drain()
    clock.advance(BUSY)
    life.give_if_due(at_once)
    assert only(remote) == before
    life.stop()
    assert only(remote).stopped


@pytest.mark.parametrize(("jobs", "kept"), [(0, KEPT_IDLE), (1, KEPT)])
def test_idle_worker_is_remembered_longer_than_one_that_died_busy(
    installation: Installation, remote: RemoteJob, clock: FakeClock, jobs: int, kept: timedelta
) -> None:
    runs = [a_run(clock) for _ in range(jobs)]
    presence(installation, running=lambda: runs).give_if_due(at_once)

    clock.advance(kept - SECOND)
    assert len(remote.workers()) == 1
    clock.advance(SECOND)
    assert remote.workers() == []


def failed_start(
    installation: Installation, problem: BaseException, *, worker: str = "host"
) -> None:
    report_failed_start(installation, worker=worker, queue="default", problem=problem)


def broken_import() -> SettingsError:
    problem = SettingsError("REMOTEJOB_TASKS='x' cannot be imported (No module named 'y')")
    problem.__cause__ = ModuleNotFoundError("No module named 'y'")
    return problem


def test_worker_that_cannot_start_says_why_until_another_one_starts(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    presence(installation, worker="before").give_if_due(at_once)
    clock.advance(SECOND)
    failed_start(installation, broken_import())
    clock.advance(SECOND)
    failed_start(installation, broken_import(), worker="host2")
    clock.advance(SECOND)

    failed, before = remote.workers()
    assert (failed.name, failed.alive, failed.takes_jobs) == ("host2", False, False)
    assert failed.cannot_start is not None
    assert failed.cannot_start.startswith("ModuleNotFoundError: REMOTEJOB_TASKS='x' cannot be")
    assert (before.name, before.cannot_start) == ("before", None)
    presence(installation, worker="after").give_if_due(at_once)
    assert [status.name for status in remote.workers()] == ["after", "before"]


def test_failed_start_is_remembered_for_a_day(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    failed_start(installation, SettingsError("REMOTEJOB_CONCURRENCY='x': use a whole number"))
    clock.advance(KEPT_FAILED - SECOND)
    assert only(remote).cannot_start == "REMOTEJOB_CONCURRENCY='x': use a whole number"
    clock.advance(SECOND)
    assert remote.workers() == []


def test_worker_says_at_once_what_is_short_and_that_it_is_there_again(
    installation: Installation, remote: RemoteJob
) -> None:
    life = presence(installation)
    life.give_if_due(at_once)
    life.say_short("disk", "the disk is full")
    life.say_short("receive", "not allowed")
    life.give_if_due(at_once)
    assert (only(remote).shortage, only(remote).alive) == ("the disk is full; not allowed", True)
    assert not only(remote).takes_jobs
    life.say_short("disk", None)
    life.say_short("receive", None)
    life.give_if_due(at_once)
    assert only(remote).takes_jobs


def test_worker_in_the_place_of_a_dead_one_says_that_it_is_dead(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    runs = [a_run(clock)]
    presence(installation, running=lambda: runs, worker="w1").give_if_due(at_once)
    presence(installation, worker="w10").give_if_due(at_once)
    started = clock.now_ms()
    clock.advance(SECOND)
    presence(installation, worker="w2", replaces="w1").give_if_due(at_once)

    found = {status.name: status for status in remote.workers()}
    assert (found["w1"].alive, found["w1"].stopped, found["w1"].running) == (False, True, ())
    assert found["w1"].seen_at == from_ms(started), "its last sign stays its own"
    assert found["w2"].alive
    assert found["w10"].alive


def test_worker_in_the_place_of_one_that_never_gave_a_sign_says_nothing_of_it(
    installation: Installation, remote: RemoteJob
) -> None:
    presence(installation, worker="w2", replaces="w1").give_if_due(at_once)
    assert only(remote).name == "w2"


def test_worker_that_stops_says_so_and_is_remembered_for_two_days(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    life = presence(installation)
    life.give_if_due(at_once)
    life.stop()

    assert only(remote).stopped
    assert not only(remote).alive
    clock.advance(KEPT - SECOND)
    assert only(remote).stopped
    clock.advance(SECOND)
    assert remote.workers() == []


def test_workers_are_listed_by_queue_and_the_last_seen_first(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    presence(installation, worker="a").give_if_due(at_once)
    clock.advance(SECOND)
    presence(installation, worker="b", queue="second", abilities=("work",)).give_if_due(at_once)
    clock.advance(SECOND)
    presence(installation, worker="c").give_if_due(at_once)

    assert [status.name for status in remote.workers()] == ["c", "b", "a"]
    assert [status.name for status in remote.workers("default")] == ["c", "a"]
    assert [status.name for status in remote.workers("second")] == ["b"]
    with pytest.raises(UnknownQueue):
        remote.workers("third")


class Refusing:
    """A store that takes no notes."""

    def __init__(self) -> None:
        self.refuses = True

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        if self.refuses and "put_note" in name:
            raise ConnectionError("no")
        return function()


def test_sign_that_is_not_taken_harms_nothing_and_the_next_one_comes_in_its_time(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    refusing = Refusing()
    life = presence(intercepted(installation, refusing))
    life.give_if_due(at_once)
    life.stop()
    assert remote.workers() == []

    refusing.refuses = False
    clock.advance(BUSY - SECOND)
    life.give_if_due(at_once)
    assert remote.workers() == []
    clock.advance(SECOND)
    life.give_if_due(at_once)
    assert only(remote).alive


def test_sign_on_its_way_holds_up_nobody_and_no_other_is_given_meanwhile(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    runs = [a_run(clock)]
    life = presence(installation, running=lambda: runs)
    on_their_way: list[Callable[[], None]] = []
    for _ in range(3):
        life.give_if_due(on_their_way.append)
        clock.advance(BUSY)
    assert len(on_their_way) == 1
    assert remote.workers() == []

    on_their_way[0]()
    life.give_if_due(on_their_way.append)
    assert len(on_their_way) == 2


def test_stop_comes_after_the_sign_on_its_way(
    installation: Installation, remote: RemoteJob
) -> None:
    life = presence(installation)
    threads: list[threading.Thread] = []
    may = threading.Event()

    def give_when_let(give: Callable[[], None]) -> None:
        may.wait()
        give()

    def later(give: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=give_when_let, args=(give,)))
        threads[0].start()

    life.give_if_due(later)
    stopping = threading.Thread(target=life.stop)
    stopping.start()
    may.set()
    stopping.join()
    threads[0].join()

    assert only(remote).stopped


def test_sign_that_nobody_takes_on_is_tried_again(
    installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    def refuses(give: Callable[[], None]) -> None:
        raise RuntimeError("shut down")

    life = presence(installation)
    with pytest.raises(RuntimeError):
        life.give_if_due(refuses)
    clock.advance(SECOND)
    life.give_if_due(at_once)

    assert only(remote).alive


def test_sign_is_one_request_and_reading_them_one_a_queue(clock: FakeClock) -> None:
    with aws_installation(clock, queues=QUEUES) as installation:
        with counted_requests() as given:
            presence(installation).give_if_due(at_once)
        with counted_requests() as read:
            RemoteJob(installation).workers()

    assert given == {"PutItem": 1}
    assert read == {"Query": 2}


@pytest.fixture
def threaded() -> Installation:
    """For a worker with its threads, which live in real time."""
    clock = SystemClock()
    return replace(
        memory_installation(queues=QUEUES),
        clock=clock,
        messages=MemoryMessages(clock),
        entropy=os.urandom,
    )


def test_worker_is_seen_from_its_start_to_its_end(threaded: Installation) -> None:
    tasks, remote = Registry(), RemoteJob(threaded)
    for name in ("work", "draw"):
        tasks.task(name)(lambda job: "done")
    worker = Worker(
        threaded, tasks, WorkerOptions(queue="default", name="seen", abilities=("draw",))
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: bool(remote.workers()), what="its first sign")
        first = only(remote)
        done = remote.queue().submit("draw").wait(30)
        left = remote.queue().submit("work")
        until(lambda: _passed_on(threaded), what="the job it cannot do, passed on")
    finally:
        worker.stop()
        worker.stop()
        thread.join()

    assert first.alive
    assert first.abilities == ("draw",)
    assert done.state is State.COMPLETED
    assert left.refresh().state is State.READY
    assert only(remote).stopped


def test_job_is_passed_on_within_half_a_minute_where_workers_differ_on_purpose(
    clock: FakeClock,
) -> None:
    installation = memory_installation(clock)
    lane = Address("default", Channel.NORMAL)
    queue: Queue = RemoteJob(installation).queue()
    queue.submit("work")
    unable = Simulation(installation=installation)
    unable.handler = type(unable.handler)(
        installation,
        {},
        worker="unable",
        runs=unable.runs,
        longest_decline=timedelta(seconds=30),
    )
    for delay in (5, 10, 20, 30, 30):
        assert unable.step() == 1
        clock.advance(timedelta(seconds=delay - 1))
        assert unable.step() == 0, delay
        clock.advance(SECOND)

    (message,) = installation.messages.receive(
        lane, limit=1, wait=timedelta(0), hidden=timedelta(seconds=60)
    )
    assert Pending.read(message.body).declined == 5


@pytest.mark.parametrize(
    ("abilities", "told"),
    [
        (("paint",), "ability 'paint': queue 'default' runs work, draw; use some of these"),
        ((), "name at least one task"),
        (("draw",), "'draw', which is not registered"),
    ],
)
def test_abilities_a_worker_cannot_have_are_refused(abilities: tuple[str, ...], told: str) -> None:
    tasks = Registry()
    tasks.task("work")(lambda job: None)
    options = WorkerOptions(queue="default", name="w", abilities=abilities)

    with pytest.raises(SettingsError, match=told):
        Worker(memory_installation(queues=QUEUES), tasks, options)


def test_worker_with_some_abilities_needs_no_other_task() -> None:
    tasks = Registry()
    tasks.task("work")(lambda job: None)
    options = WorkerOptions(queue="default", name="w", abilities=("work",))

    Worker(memory_installation(queues=QUEUES), tasks, options)


def _passed_on(installation: Installation) -> bool:
    return installation.messages.depth(Address("default", Channel.NORMAL)).delayed == 1


def a_run(clock: FakeClock) -> Run:
    """A run that goes on."""
    worker = Simulation(installation=memory_installation(clock, queues=QUEUES))
    worker.tasks.task("work")(lambda job: None)
    RemoteJob(worker.installation).queue().submit("work")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    return run
