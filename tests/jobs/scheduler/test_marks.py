"""A mark stays due until its message was accepted: it is the promise while there is no message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Job, Priority, Queue, QueueUnavailable, RemoteJob, State, Submission
from remotejob.domain.check_times import GRACE, RECHECK
from remotejob.domain.claim_decisions import CLOCK_SKEW
from remotejob.domain.priority import Lane
from remotejob.jobs.scheduler.tick import rescue, tick
from remotejob.ports import Address, Channel, Installation
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.runs.run import Run

T = TypeVar("T")

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=1)
LEASE = timedelta(seconds=60)
HIGH = Address("default", Channel.HIGH)
NORMAL = Address("default", Channel.NORMAL)


class Refusing:
    """Lanes that accept nothing, as long as the test wants."""

    def __init__(self, *lanes: Address) -> None:
        self.lanes = lanes

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if name == "messages.send" and arguments[0] in self.lanes:
            raise QueueUnavailable("the queue does not answer")
        return function()


def waiting_messages(installation: Installation, lane: Address) -> int:
    depth = installation.messages.depth(lane)
    return depth.visible + depth.hidden + depth.delayed


def lose_messages(installation: Installation) -> None:
    for lane in Lane:
        address = Address("default", Channel(lane.value))
        while found := installation.messages.receive(
            address, limit=10, wait=timedelta(0), hidden=HOUR
        ):
            installation.messages.delete(address, [message.receipt for message in found])


def delayed(queue: Queue, priority: Priority, count: int) -> list[Job]:
    return queue.submit_many(
        [Submission(task="work", delay=HOUR, priority=priority) for _ in range(count)]
    )


def test_due_jobs_whose_lane_accepts_nothing_are_sent_by_the_next_tick(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    jobs = [*delayed(queue, Priority.HIGH, 5), *delayed(queue, Priority.NORMAL, 5)]
    clock.advance(HOUR)

    first = tick(intercepted(installation, Refusing(HIGH)))
    second = tick(installation)

    assert (first["sent"], second["sent"]) == (5, 5), "the other lane's are not sent twice"
    worker.step()
    assert {job.refresh().state for job in jobs} == {State.COMPLETED}


def test_lane_that_accepts_nothing_is_tried_by_each_tick(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    delayed(queue, Priority.NORMAL, 3)
    clock.advance(HOUR)
    for _ in range(30):
        assert tick(intercepted(installation, Refusing(NORMAL)))["sent"] == 0
        clock.advance(timedelta(minutes=1))

    assert tick(installation)["sent"] == 3
    assert tick(installation)["sent"] == 0


def silent(queue: Queue, worker: Simulation, clock: FakeClock) -> Job:
    """A job whose worker gave one heartbeat and then fell silent; its message is lost."""
    job = queue.submit("work")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    with worker.runs.holding(run):
        clock.advance(LEASE / 3)
        worker.beat()
    lose_messages(worker.installation)
    clock.advance(LEASE + GRACE)
    lose_messages(worker.installation)
    return job


def test_silent_job_whose_lane_accepts_nothing_is_rescued_by_the_next_tick(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    job = silent(queue, worker, clock)

    assert tick(intercepted(installation, Refusing(NORMAL)))["rescued"] == 0
    assert tick(installation)["rescued"] == 1
    assert tick(installation)["rescued"] == 0, "it has a message now"
    worker.step()
    assert job.refresh().result == "done"


def test_job_is_rescued_once_its_lease_has_lapsed_by_the_margin_and_no_moment_before(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    queue.submit("work")
    run = worker.handler.begin(worker.receive()[0])
    assert isinstance(run, Run)
    with worker.runs.holding(run):
        clock.advance(LEASE / 3)
        worker.beat()

    clock.advance(LEASE + CLOCK_SKEW - MOMENT)
    assert rescue(installation) == 0
    clock.advance(MOMENT)
    assert rescue(installation) == 1


def test_last_death_whose_status_cannot_be_sent_is_reported_by_a_later_tick(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    for _ in range(2):
        (message,) = worker.receive()
        assert isinstance(worker.handler.begin(message), Run)
        clock.advance(2 * LEASE)
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    with worker.runs.holding(run):
        clock.advance(LEASE / 3)
        worker.beat()
    lose_messages(installation)
    clock.advance(LEASE + GRACE)
    failed = Address("default", Channel.FAILED)

    counts = tick(intercepted(installation, Refusing(failed)))
    assert (counts["expired"], counts["rescued"]) == (1, 0)
    assert job.refresh().state is State.FAILED
    assert job.record.owed is not None
    clock.advance(GRACE - MOMENT)
    assert tick(installation)["paid"] == 0, "whoever ended it may still be at it"
    clock.advance(MOMENT)
    assert tick(installation)["paid"] == 1
    assert job.refresh().record.owed is None
    assert waiting_messages(installation, failed) == 1


@pytest.mark.parametrize("command", ["resume", "restart", "make ready"])
def test_command_whose_message_is_not_accepted_leaves_the_job_to_the_next_tick(
    queue: Queue, worker: Simulation, installation: Installation, command: str
) -> None:
    job = queue.submit("work", delay=HOUR if command == "make ready" else None)
    lose_messages(installation)
    refusing = RemoteJob(intercepted(installation, Refusing(NORMAL))).job(job.id)
    match command:
        case "resume":
            job.pause()
            act: Callable[[], object] = refusing.resume
        case "restart":
            job.cancel()
            act = refusing.restart
        case _:
            act = refusing.make_ready

    with pytest.raises(QueueUnavailable):
        act()

    assert tick(installation)["sent"] == 1
    worker.step()
    assert job.refresh().result == "done"


def test_dependents_whose_lane_accepts_nothing_are_sent_by_the_next_tick(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    first = queue.submit("work", priority=Priority.HIGH)
    later = queue.submit_many([Submission(task="work", depends=[first]) for _ in range(3)])
    refusing = Simulation(
        installation=intercepted(installation, Refusing(NORMAL)), tasks=worker.tasks
    )
    refusing.step()
    assert first.refresh().state is State.COMPLETED

    assert tick(installation)["sent"] == 3
    worker.step()
    assert {job.refresh().state for job in later} == {State.COMPLETED}


def test_job_woken_at_its_lock_whose_lane_accepts_nothing_is_sent_by_the_next_tick(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    queue.submit("work", priority=Priority.HIGH, resource="cat.jpg")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    second = queue.submit("work", resource="cat.jpg")
    Simulation(installation=installation, tasks=worker.tasks, worker="other").step()
    assert second.refresh().record.parked is not None

    refusing = Simulation(
        installation=intercepted(installation, Refusing(NORMAL)), tasks=worker.tasks
    )
    settlement = refusing.handler.complete(run, Completion())
    assert settlement is not None
    refusing.settler.add(settlement)
    refusing.settler.flush()

    assert second.refresh().record.parked is None
    assert tick(installation)["sent"] == 1
    worker.step()
    assert second.refresh().result == "done"


def test_mark_of_a_job_sent_for_is_due_again_only_after_the_grace(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    """While a worker has the message, a second one would only be in its way."""
    job = queue.submit("work").pause()
    lose_messages(installation)
    job.resume()
    lose_messages(installation)

    clock.advance(GRACE - timedelta(minutes=1) - MOMENT)
    assert tick(installation)["sent"] == 0
    clock.advance(MOMENT)
    assert tick(installation)["sent"] == 1


def test_job_resumed_long_before_it_is_due_is_sent_for_once(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    """Its message is on its way, delayed."""
    job = queue.submit("work", delay=timedelta(minutes=10)).pause()
    lose_messages(installation)
    job.resume()
    sent = 0
    for _ in range(10):
        sent += tick(installation)["sent"]
        clock.advance(timedelta(minutes=1))
    worker.step()

    assert sent == 0
    assert job.refresh().result == "done"


class After:
    """Something else happens, once, after a request of a kind."""

    def __init__(self, kind: str, happens: Callable[[], object]) -> None:
        self._kind, self._happens = kind, happens
        self.happened = False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        answer = function()
        conditions = [getattr(getattr(one, "condition", None), "name", None) for one in arguments]
        if not self.happened and self._kind in (name, *conditions):
            self.happened = True
            self._happens()
        return answer


def test_mark_set_since_the_tick_read_the_record_is_not_put_off(
    queue: Queue, worker: Simulation, installation: Installation, clock: FakeClock
) -> None:
    """A worker releases a dependent and cannot send, while the tick checks the dependent."""
    first = queue.submit("work", priority=Priority.HIGH)
    dependent = queue.submit("work", depends=[first])
    refusing = Simulation(
        installation=intercepted(installation, Refusing(NORMAL)), tasks=worker.tasks
    )
    clock.advance(RECHECK + SECOND)
    read = After("store.get_many", refusing.step)
    tick(intercepted(installation, read))
    assert read.happened
    assert first.refresh().state is State.COMPLETED

    tick(installation)

    worker.step()
    assert dependent.refresh().result == "done"


def test_end_that_is_settled_late_does_not_settle_the_next_one(
    queue: Queue, tasks: Registry, installation: Installation, clock: FakeClock
) -> None:
    """Two carry out the first end; before the later of them notes it, the job has ended again."""
    failed = Address("default", Channel.FAILED)

    @tasks.task("work")
    def work(job: object) -> None:
        raise ValueError("no")

    job = queue.submit("work")
    refusing = Simulation(installation=intercepted(installation, Refusing(failed)), tasks=tasks)
    refusing.step()
    assert job.refresh().record.owed is not None

    def paid_restarted_and_failed_again() -> None:
        tick(installation)
        clock.advance(SECOND)
        job.restart()
        refusing.step()
        assert job.refresh().record.owed is not None

    clock.advance(GRACE)
    late = After("messages.send", paid_restarted_and_failed_again)
    tick(intercepted(installation, late))

    assert late.happened
    assert job.refresh().record.owed is not None, "nobody was told of the second end"
    clock.advance(GRACE)
    tick(installation)
    assert job.refresh().record.owed is None
