"""Jobs that run longer than a message can be hidden: twelve hours from its receive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from remotejob import AccessProblem, Job, Queue, RemoteJob, Retry, RunningJob, State, WorkerStopping
from remotejob.domain.priority import Lane
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.holder import JobHolder
from remotejob.ports import Address, Channel, Depth, Installation, Outgoing
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Call, Crash, Fault, Faults
from remotejob.testing.interception import intercepted
from tests.sampling import some
from tests.worker.runs.conftest import LEASE

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
BEAT = LEASE / 3
LANES = [Address("default", Channel(lane.value)) for lane in Lane]
NORMAL = Address("default", Channel.NORMAL)
EMPTY = Depth(visible=0, hidden=0, delayed=0)

Meanwhile = Callable[[], object]


@dataclass
class Watch:
    """Counts what goes to the queues."""

    counts: Counter[str] = field(default_factory=Counter)

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], Any]) -> Any:
        self.counts[name] += 1
        return function()


class Days:
    """A worker whose task takes as long as the test says, while others go on."""

    def __init__(self, installation: Installation, tasks: Registry, clock: FakeClock) -> None:
        self.clock = clock
        self.watch = Watch()
        self.watched = intercepted(installation, self.watch)
        self.workers: dict[str, Simulation] = {}
        self.runs: list[str] = []
        self.installation = installation
        self.tasks = tasks

    def worker(self, name: str, installation: Installation | None = None) -> Simulation:
        made = Simulation(installation=installation or self.watched, tasks=self.tasks, worker=name)
        self.workers[name] = made
        return made

    def pass_hours(self, hours: float, *, beating: list[Simulation], each: Meanwhile) -> None:
        """Let time go by, beat by beat."""
        for _ in range(round(hours * HOUR / BEAT)):
            self.clock.advance(BEAT)
            for worker in beating:
                worker.beat()
            each()


@pytest.fixture
def days(installation: Installation, tasks: Registry, clock: FakeClock) -> Days:
    return Days(installation, tasks, clock)


def nothing() -> None:
    pass


def in_the_lanes(installation: Installation) -> int:
    depths = [installation.messages.depth(lane) for lane in LANES]
    return sum(depth.visible + depth.hidden + depth.delayed for depth in depths)


def long_task(days: Days, hours: float, *, each: Meanwhile = nothing) -> None:
    """A task that takes that long, with its worker's heartbeats."""

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        beating = [one for one in days.workers.values() if one.runs.running()]
        for _ in range(round(hours)):
            days.pass_hours(1, beating=beating, each=each)
            job.check()
        return "done"


def ended_well(job: Job, days: Days) -> None:
    assert job.refresh().state is State.COMPLETED
    assert job.result == "done"
    assert len(days.runs) == 1
    assert job.record.crashes == 0


def test_job_of_thirty_hours_runs_once_where_its_worker_takes_no_other(
    days: Days, queue: Queue, installation: Installation
) -> None:
    long_task(days, 30)
    job = queue.submit("work")
    days.worker("only").step()

    ended_well(job, days)
    assert days.watch.counts["messages.send"] == 2, "one in the place of the first, and the status"
    # the second, which nobody could receive
    assert in_the_lanes(installation) == 1
    days.worker("another").step()
    assert in_the_lanes(installation) == 0
    assert len(days.runs) == 1


def test_job_of_thirty_hours_runs_once_where_its_worker_takes_others_too(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("only")
    long_task(days, 30, each=lambda: worker.step())
    job = queue.submit("work")
    claims = days.watch.counts["store.update"]
    worker.step()

    ended_well(job, days)
    assert in_the_lanes(installation) == 0, "its end deleted the message it had then"
    # adopted twice, without a claim: one update a beat, the claim and the commit
    beats = round(30 * HOUR / BEAT)
    assert days.watch.counts["store.update"] - claims == beats + 2


def test_message_is_hidden_from_everybody_but_for_the_moments_it_is_replaced(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker, other = days.worker("only"), days.worker("other", installation)
    met: list[int] = []

    def each() -> None:
        worker.step()
        met.append(other.step())

    long_task(days, 30, each=each)
    queue.submit("work")
    worker.step()

    assert sum(met) == 0


def test_job_of_thirty_hours_runs_once_while_another_worker_polls(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker, other = days.worker("first"), days.worker("other", installation)
    long_task(days, 30, each=lambda: other.step())
    job = queue.submit("work")
    worker.step()

    ended_well(job, days)
    days.clock.advance(2 * LEASE)
    other.step()
    assert in_the_lanes(installation) == 0


def test_message_that_another_worker_receives_costs_a_few_requests_a_lease(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("first", installation)
    other = days.worker("other")
    long_task(days, 30, each=lambda: other.step())
    queue.submit("work")
    worker.step()

    leases = 19 * HOUR / LEASE
    # it looks whether the job can be had, and hides the message again; no more often than that
    assert 0 < days.watch.counts["store.update"] <= leases + 1
    assert days.watch.counts["messages.hide"] <= leases + 1


def test_message_that_meets_its_job_for_days_is_never_given_up(
    days: Days, queue: Queue, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as after days, in hours
    monkeypatch.setattr("remotejob.worker.messages.handler._RECEIVES_OF_ONE", 20)
    worker = days.worker("first", installation)
    other = days.worker("other")
    receives: list[int] = []

    def each() -> None:
        for message in other.receive():
            receives.append(message.receives)
            settlement = other.handler.attend(message)
            assert settlement is not None
            other.settler.add(settlement)
        other.settler.flush()

    long_task(days, 30, each=each)
    job = queue.submit("work")
    worker.step()

    ended_well(job, days)
    assert max(receives) == 20
    assert installation.messages.depth(Address("default", Channel.DEAD_LETTER)) == EMPTY


@pytest.mark.parametrize("fault", some([Fault.CRASH_BEFORE, Fault.CRASH_AFTER], every=2))
@pytest.mark.parametrize("at", ["messages.send", "messages.delete"])
def test_job_whose_worker_dies_replacing_its_message_runs_again(
    days: Days, queue: Queue, installation: Installation, at: str, fault: Fault
) -> None:
    faults = _StrikesThe(at, fault)
    worker = days.worker("dies", faults.process(installation, "dies"))
    other = days.worker("other", installation)

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        if len(days.runs) == 1:
            days.pass_hours(13, beating=[worker], each=nothing)
        return "done"

    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    assert faults.struck is not None
    assert faults.struck.name == at
    days.clock.advance(2 * LEASE)
    while other.step():
        pass

    assert job.refresh().state is State.COMPLETED
    assert (len(days.runs), job.record.crashes) == (2, 1)
    days.clock.advance(2 * LEASE)
    other.step()
    assert in_the_lanes(installation) == 0


@pytest.mark.parametrize("fault", some([Fault.ERROR_BEFORE, Fault.ERROR_AFTER], every=2))
@pytest.mark.parametrize("at", ["messages.send", "messages.delete"])
def test_job_whose_message_cannot_be_replaced_at_once_runs_once(
    days: Days, queue: Queue, installation: Installation, at: str, fault: Fault
) -> None:
    faults = _StrikesThe(at, fault)
    worker = days.worker("only", faults.process(installation, "only"))
    long_task(days, 14, each=lambda: worker.step())
    job = queue.submit("work")
    worker.step()

    assert faults.struck is not None
    ended_well(job, days)
    days.clock.advance(2 * LEASE)
    worker.step()
    assert in_the_lanes(installation) == 0


def test_message_that_cannot_be_deleted_is_replaced_once(
    days: Days, queue: Queue, installation: Installation
) -> None:
    refused = _Refused("messages.delete")
    worker = days.worker("only", intercepted(days.watched, refused))

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        # it would come again at the end of the first twelve hours
        days.pass_hours(11.5, beating=[worker], each=nothing)
        assert refused.count >= 3
        assert days.watch.counts["messages.send"] == 1
        refused.over = True
        days.pass_hours(2, beating=[worker], each=lambda: worker.step())
        return "done"

    job = queue.submit("work")
    worker.step()

    ended_well(job, days)
    days.clock.advance(2 * LEASE)
    worker.step()
    assert in_the_lanes(installation) == 0


def test_worker_that_dies_in_the_thirteenth_hour_is_followed_by_another(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("dies", Faults().process(installation, "dies"))
    other = days.worker("other", installation)

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        if len(days.runs) == 1:
            days.pass_hours(13, beating=[worker], each=nothing)
            raise Crash("the machine is gone")
        days.pass_hours(13, beating=[other], each=lambda: other.step())
        return "done"

    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    days.clock.advance(LEASE + MINUTE)
    other.step()

    assert job.refresh().state is State.COMPLETED
    assert (len(days.runs), job.record.crashes, job.attempt) == (2, 1, 2)
    assert in_the_lanes(installation) == 0


@pytest.mark.exhaustive
def test_worker_that_dies_once_its_message_is_lost_is_followed_by_another(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("dies", Faults().process(installation, "dies"))
    other = days.worker("other", installation)

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        if len(days.runs) == 1:
            days.pass_hours(13, beating=[worker], each=lambda: tick(installation))
            lost = [
                message
                for lane in LANES
                for message in installation.messages.receive(
                    lane, limit=10, wait=timedelta(0), hidden=HOUR
                )
            ]
            installation.messages.delete(NORMAL, [message.receipt for message in lost])
            assert len(lost) == 1
            raise Crash("the machine is gone")
        return "done"

    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    for _ in range(20):
        days.clock.advance(MINUTE)
        tick(installation)
    other.step()

    assert job.refresh().state is State.COMPLETED
    assert job.record.crashes == 1


def test_message_redelivered_to_its_own_worker_is_its_message_again(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("only")
    met: list[int] = []

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        # checkpoints keep the lease, and nothing hides the message: heartbeats stand still
        for _ in range(3):
            days.clock.advance(LEASE - MINUTE)
            job.checkpoint({"part": 1})
        before = days.watch.counts["store.update"]
        assert worker.step() == 1
        assert days.watch.counts["store.update"] == before, "no claim"
        days.pass_hours(13, beating=[worker], each=lambda: met.append(worker.step()))
        return "done"

    job = queue.submit("work")
    worker.step()

    ended_well(job, days)
    assert sum(met) == 1, "its replacement alone"
    assert in_the_lanes(installation) == 0


def test_run_that_has_a_message_does_not_take_another_one_of_its_job(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("only", installation)

    @days.tasks.task("work")
    def work(job: RunningJob) -> str:
        (run,) = worker.runs.running()
        had = run.held.message
        body = had.body
        days.clock.advance(MINUTE)
        installation.messages.send(NORMAL, [Outgoing(body=body)])
        worker.step()
        assert run.held.message is had
        return "done"

    job = queue.submit("work")
    worker.step()
    days.clock.advance(LEASE + MINUTE)
    worker.step()

    assert job.refresh().state is State.COMPLETED
    assert in_the_lanes(installation) == 0


def test_run_that_must_stop_adopts_no_message(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("only", installation)

    @days.tasks.task("work", retry=Retry(max_attempts=2))
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        if len(days.runs) > 1:
            return "done"
        (run,) = worker.runs.running()
        days.pass_hours(11.2, beating=[worker], each=nothing)
        assert run.held.since is None
        # its lease ends: the machine slept, say
        days.clock.advance(LEASE + MINUTE)
        while worker.step():
            pass
        return "too late"

    job = queue.submit("work")
    worker.step()

    job.refresh()
    assert (job.result, len(days.runs)) == ("done", 2)
    assert (job.record.crashes, job.record.lost_leases) == (0, 1), "its worker lives"


@pytest.mark.parametrize("end", ["fails", "is given back", "is cancelled"])
def test_run_whose_message_is_on_its_way_ends_as_any_other(
    days: Days, queue: Queue, installation: Installation, end: str
) -> None:
    worker = days.worker("first", installation)
    other = days.worker("other", installation)

    @days.tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(0)))
    def work(job: RunningJob) -> str:
        days.runs.append(job.run_id)
        if len(days.runs) > 1:
            return "done"
        (run,) = worker.runs.running()
        days.pass_hours(11, beating=[worker], each=nothing)
        assert run.held.since is None
        if end == "is given back":
            run.stop_signal.set(WorkerStopping("told to"))
        elif end == "is cancelled":
            RemoteJob(installation).job(job.id).cancel()
            days.pass_hours(BEAT / HOUR, beating=[worker], each=nothing)
            job.check()
        raise ValueError("no")

    job = queue.submit("work")
    worker.step()
    # at once, though the message that took its place is still on its way
    other.step()

    if end == "is cancelled":
        assert job.refresh().state is State.CANCELLED
    else:
        assert job.refresh().result == "done"
        assert len(days.runs) == 2
    days.clock.advance(2 * LEASE)
    other.step()
    assert in_the_lanes(installation) == 0


def test_job_taken_by_hand_for_thirty_hours_is_taken_once(
    days: Days, installation: Installation, clock: FakeClock
) -> None:
    holder = JobHolder(installation, start=lambda beat: None)
    queue = RemoteJob(installation, holder=holder).queue()
    submitted = queue.submit("work")
    days.tasks.task("work")(lambda job: "by a worker")
    other = days.worker("other", installation)
    (job,) = queue.get_work()

    for number in range(round(30 * HOUR / BEAT)):
        clock.advance(BEAT)
        holder.beat()
        assert queue.get_work() == []
        if number % 5 == 0:
            other.step()
    job.done("by hand")

    assert submitted.refresh().result == "by hand"
    assert submitted.record.crashes == 0
    clock.advance(2 * LEASE)
    other.step()
    assert in_the_lanes(installation) == 0


def test_message_in_the_place_of_another_keeps_its_tenant_and_its_lane(
    days: Days, queue: Queue, installation: Installation
) -> None:
    worker = days.worker("first", installation)
    groups: list[str | None] = []

    def each() -> None:
        low = Address("default", Channel.LOW)
        received = installation.messages.receive(low, limit=1, wait=timedelta(0), hidden=LEASE)
        groups.extend(message.group for message in received)

    long_task(days, 12, each=each)
    queue.submit("work", tenant="acme", priority=10)
    worker.step()

    assert set(groups) == {"acme"}


class _Refused:
    """Calls of a name are not allowed, until it is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.over = False
        self.count = 0

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], Any]) -> Any:
        if name == self._name and not self.over:
            self.count += 1
            raise AccessProblem(f"{name} is not allowed")
        return function()


class _StrikesThe(Faults):
    """A fault at the first call of a name, which is a heartbeat's."""

    def __init__(self, name: str, fault: Fault) -> None:
        super().__init__(fault)
        self._name = name

    def _strikes(self, process: str, name: str, arguments: str) -> bool:
        strikes = name == self._name and self.struck is None
        numbered = super()._strikes(process, name, arguments)
        if strikes:
            self.struck = Call(len(self.calls), process, name, arguments)
        return numbered or strikes
