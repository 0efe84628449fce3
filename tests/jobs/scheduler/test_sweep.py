"""The sweep: it finds what lost its message, and never gives a day up that may still need it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Job, Queue, QueueUnavailable, RunningJob, State, Submission
from remotejob.domain.priority import Lane
from remotejob.jobs.commands.commands import cancel
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import SHARDS
from remotejob.ports import Address, Area, Channel, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.conformance import samples
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.run import Run

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MOMENT = timedelta(milliseconds=1)
LANES = [Address("default", Channel(lane.value)) for lane in Lane]


class Watch:
    """Notes the requests, and fails some of them."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.counts: Counter[str] = Counter()

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        self.counts[name] += 1
        if name == self.failing:
            raise QueueUnavailable("the queue does not answer")
        return function()


def lose_messages(installation: Installation) -> None:
    for lane in LANES:
        while found := installation.messages.receive(
            lane, limit=10, wait=timedelta(0), hidden=HOUR
        ):
            installation.messages.delete(lane, [message.receipt for message in found])


def silent(queue: Queue, installation: Installation) -> Job:
    """A job that is ready, and whose message is lost."""
    job = queue.submit("work")
    lose_messages(installation)
    return job


def days_read(installation: Installation) -> int:
    """How many days a sweep walks."""
    watch = Watch()
    sweep(intercepted(installation, watch))
    return watch.counts["store.listing"] // SHARDS


def test_job_whose_message_was_lost_is_sent_again_once_it_is_silent_for_an_hour(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    job = silent(queue, installation)

    clock.advance(HOUR - MOMENT)
    assert sweep(installation)["sent"] == 0
    clock.advance(MOMENT)
    assert sweep(installation)["sent"] == 1
    worker.step()
    assert job.refresh().result == "done"


def test_job_is_sent_for_at_most_once_a_day(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    silent(queue, installation)
    clock.advance(HOUR)
    assert sweep(installation)["sent"] == 1

    clock.advance(DAY - MOMENT)
    assert sweep(installation)["sent"] == 0
    clock.advance(MOMENT)
    assert sweep(installation)["sent"] == 1


def test_job_that_could_not_be_sent_is_sent_by_the_next_sweep(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    """It is not noted as swept: that would put it off for a day."""
    silent(queue, installation)
    clock.advance(HOUR)
    failing = intercepted(installation, Watch("messages.send"))

    assert sweep(failing)["sent"] == 0
    assert sweep(installation)["sent"] == 1


def test_job_that_is_never_taken_is_sent_for_every_day(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    """The days after its own are closed, and its own is not, though most of its jobs have ended."""
    queue.submit_many([Submission(task="work")] * 20)
    while worker.step():
        pass
    silent(queue, installation)
    clock.advance(HOUR)
    sent = []
    for _ in range(10):
        sent.append(sweep(installation)["sent"])
        lose_messages(installation)
        clock.advance(DAY)

    assert sent == [1] * 10


def test_job_that_cannot_be_sent_for_days_is_sent_in_the_end(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    silent(queue, installation)
    failing = intercepted(installation, Watch("messages.send"))
    for _ in range(10):
        clock.advance(DAY)
        sweep(failing)

    assert sweep(installation)["sent"] == 1


@pytest.mark.parametrize("state", [State.PAUSED, State.WAITING])
def test_day_stays_open_while_a_job_of_it_has_not_ended(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock, state: State
) -> None:
    """Days later it begins, and its worker dies before the first heartbeat."""
    job = queue.submit("work", delay=9 * DAY if state is State.WAITING else None)
    if state is State.PAUSED:
        job.pause()
    for _ in range(9):
        sweep(installation)
        clock.advance(DAY)
    assert job.refresh().state is state
    if state is State.PAUSED:
        job.resume()
    tick(installation)
    runs = [worker.handler.begin(message) for message in worker.receive()]
    assert any(isinstance(run, Run) for run in runs)
    lose_messages(installation)
    clock.advance(HOUR)
    lose_messages(installation)

    assert sweep(installation)["sent"] == 1
    worker.step()
    assert job.refresh().result == "done"


def test_days_whose_jobs_have_ended_are_read_no_more(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    queue.submit("work")
    worker.step()
    first = days_read(installation)
    clock.advance(5 * DAY)
    days_read(installation)

    assert first == installation.retention.days + 1
    assert days_read(installation) == 3, "today, and two days that may still get jobs"


@pytest.mark.parametrize("days", [1, 2])
def test_job_of_an_event_that_came_days_late_is_found(
    installation: Installation, clock: FakeClock, days: int
) -> None:
    """Its id is of the day of the event, which the sweep has walked by then."""
    event = clock.now_ms()
    clock.advance(days * DAY)
    for _ in range(3):
        sweep(installation)
    late = samples.ready(id=samples.job_id(at_ms=event), updated_ms=clock.now_ms())
    installation.store.put_new(late)
    clock.advance(HOUR)

    assert sweep(installation)["sent"] == 1


def test_sweep_that_ran_out_of_time_is_continued_and_forgets_nothing(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    jobs = [silent(queue, installation) for _ in range(20)]
    clock.advance(HOUR)

    def sweep_a_few() -> int:
        """Time for seven jobs."""
        times = iter([False] * 7)
        return sweep(installation, time_is_up=lambda: next(times, True))["sent"]

    for day in range(6):
        assert [sweep_a_few() for _ in range(3)] == [7, 7, 6], f"on day {day}"
        lose_messages(installation)
        clock.advance(DAY)
    assert {job.refresh().state for job in jobs} == {State.READY}


def sweep_one(installation: Installation) -> int:
    """A sweep that has time for one job."""
    times = iter([False])
    return sweep(installation, time_is_up=lambda: next(times, True))["sent"]


def test_day_of_an_interrupted_sweep_stays_open_for_the_job_it_has_passed(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    """The sweep is interrupted after that job, and finds only ended ones when it goes on."""
    queue.submit_many([Submission(task="work")] * 40)
    while worker.step():
        pass
    silent(queue, installation)
    clock.advance(HOUR)
    sent = []
    for _ in range(6):
        of_the_day = 0
        for _ in range(41):
            of_the_day += sweep_one(installation)
        of_the_day += sweep(installation)["sent"]
        sent.append(of_the_day)
        lose_messages(installation)
        clock.advance(DAY)

    assert sent == [1] * 6


def test_outputs_of_a_job_that_failed_days_after_it_was_submitted_are_removed(
    queue: Queue, tasks: Registry, installation: Installation, clock: FakeClock
) -> None:
    """A sweep within the hour is too early, and leaves the day to a later one."""

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.output("half.txt", b"half")
        raise ValueError("no")

    queue.submit("work", delay=5 * DAY)
    for _ in range(5):
        sweep(installation)
        clock.advance(DAY)
    tick(installation)
    Simulation(installation=installation, tasks=tasks).step()
    assert list(installation.files.keys(Area.OUTPUT, ""))

    sweep(installation)
    clock.advance(2 * HOUR)
    sweep(installation)

    assert list(installation.files.keys(Area.OUTPUT, "")) == []


def test_outputs_of_a_job_restarted_while_the_sweep_looks_at_it_are_kept(
    queue: Queue, tasks: Registry, installation: Installation, clock: FakeClock
) -> None:
    failing = [True, False]
    worker = Simulation(installation=installation, tasks=tasks)

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.output("made.txt", b"made")
        if failing.pop(0):
            raise ValueError("no")

    job = queue.submit("work")
    worker.step()
    clock.advance(2 * HOUR)

    class Restarted:
        """The job runs again before its files are listed."""

        def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
            if name == "files.keys" and failing:
                job.restart()
                worker.step()
            return function()

    sweep(intercepted(installation, Restarted()))

    assert job.refresh().outputs["made.txt"].open().read() == b"made"


def test_one_job_that_cannot_be_swept_holds_back_no_other(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    for _ in range(3):
        silent(queue, installation)
    clock.advance(HOUR)

    class FailsOnce(Watch):
        def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
            if name == self.failing and not self.counts[name]:
                return super().request(name, arguments, function)
            return function()

    assert sweep(intercepted(installation, FailsOnce("messages.send")))["sent"] == 2
    assert sweep(installation)["sent"] == 1


def test_worker_that_died_the_last_time_is_swept_up_as_a_failure(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    for _ in range(3):
        (message,) = worker.receive()
        assert isinstance(worker.handler.begin(message), Run)
        clock.advance(5 * MINUTE)
    lose_messages(installation)
    clock.advance(HOUR)

    counts = sweep(installation)

    assert (counts["expired"], counts["sent"]) == (1, 0)
    assert job.refresh().state is State.FAILED
    assert job.record.owed is None


def test_end_whose_consequences_are_owed_is_paid_and_its_day_stays_open_until_then(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    failing = intercepted(installation, Watch("messages.send"))
    cancelled = silent(queue, installation)
    cancel(cancelled.id, failing)
    assert cancelled.refresh().record.owed is not None
    for _ in range(5):
        clock.advance(DAY)
        assert sweep(failing)["paid"] == 0

    assert sweep(installation)["paid"] == 1
    assert cancelled.refresh().record.owed is None
