"""Pause, resume, cancel and restart, on both backends, with faults at every request."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    CommandRefused,
    InvalidData,
    Job,
    JobNotFound,
    Queue,
    RemoteJob,
    RunningJob,
    State,
)
from remotejob.domain import command_changes
from remotejob.domain.changes import Change
from remotejob.domain.ids import new_job_id
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation, Refused
from remotejob.testing import FakeClock, Simulation, memory_installation, seeded_entropy
from remotejob.testing.crashes import Crash
from remotejob.testing.interception import intercepted

MINUTE = timedelta(minutes=1)


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation)

    @simulation.tasks.task("work")
    def work(job: RunningJob) -> str:
        if job.data == "fail":
            raise ValueError("no")
        return "done"

    return simulation


def work_off(worker: Simulation) -> None:
    while worker.step():
        pass


def test_paused_job_does_not_start_until_it_is_resumed(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work").pause()
    work_off(worker)
    assert job.refresh().state is State.PAUSED

    job.resume()
    work_off(worker)
    assert job.refresh().result == "done"


def test_resumed_job_is_due_no_earlier_than_before(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", delay=10 * MINUTE)
    due = job.due_at

    job.pause()
    clock.advance(MINUTE)
    job.resume()

    assert job.due_at == due
    work_off(worker)
    assert job.refresh().state is State.WAITING
    clock.advance(9 * MINUTE)
    work_off(worker)
    assert job.refresh().state is State.COMPLETED


def test_cancelled_job_does_not_start_and_sends_its_status(
    installation: Installation, queue: Queue, worker: Simulation
) -> None:
    job = queue.submit("work").cancel()
    work_off(worker)

    assert job.id in told(installation)

    assert job.refresh().state is State.CANCELLED
    assert job.attempt == 0
    assert job.record.owed is None
    assert job.record.attention is None
    assert job.record.expires_s is not None


def test_time_that_is_no_datetime_is_refused(queue: Queue) -> None:
    job = queue.submit("work", delay=MINUTE)
    make_ready: Any = job.make_ready

    with pytest.raises(InvalidData, match="at='tomorrow': use a datetime with a time zone"):
        make_ready(at="tomorrow")
    assert job.refresh().state is State.WAITING


def test_running_job_that_is_cancelled_stops_at_its_next_heartbeat(
    installation: Installation, queue: Queue, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    seen: list[bool] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> str:
        running.cancel()
        seen.append(job.cancelled)
        clock.advance(timedelta(seconds=30))
        worker.beat()
        seen.append(job.cancelled)
        job.check()
        return "never"

    running = queue.submit("work")
    worker.step()

    assert seen == [False, True]
    assert running.refresh().state is State.CANCELLED
    assert running.record.lease_ms is None


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_restarted_job_runs_again(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock, end: str
) -> None:
    job = queue.submit("work", data=end)
    if end == "cancel":
        job.cancel()
    work_off(worker)
    ended = job.refresh().state
    clock.advance(MINUTE)

    mended = Simulation(installation=installation)
    mended.tasks.task("work")(lambda job: "again")
    job.restart()
    work_off(mended)

    assert ended in (State.FAILED, State.CANCELLED)
    assert job.refresh().result == "again"
    assert job.record.failures == 0


def test_restart_tells_the_end_first_where_nobody_has(
    installation: Installation, queue: Queue, worker: Simulation
) -> None:
    job = queue.submit("work", data="fail")
    (message,) = worker.receive()
    worker.handler.attend(message)  # and dies before it settles
    assert job.refresh().record.owed is not None

    job.restart()

    assert told(installation) == [job.id]
    assert job.state is State.WAITING


def test_cancelled_job_sends_its_status_without_any_worker(
    installation: Installation, queue: Queue
) -> None:
    job = queue.submit("work").cancel()

    assert told(installation) == [job.id]
    assert job.record.owed is None


def test_restart_is_refused_while_an_end_is_owed(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", data="fail")
    (message,) = worker.receive()
    worker.handler.attend(message)  # and dies before it settles
    owing = job.refresh().record

    change = command_changes.restart(owing, now_ms=clock.now_ms())

    assert installation.store.update(change) == Refused(owing)


@pytest.mark.parametrize("build", [command_changes.pause, command_changes.cancel])
def test_change_built_on_an_older_record_sets_no_time_back(
    installation: Installation,
    queue: Queue,
    clock: FakeClock,
    build: Callable[..., Change],
) -> None:
    job = queue.submit("work")
    older = build(job.record, now_ms=clock.now_ms())
    clock.advance(MINUTE)
    newer = job.pause().resume().record

    assert installation.store.update(older) == Refused(newer)


def told(installation: Installation) -> list[str]:
    """Ids of the jobs that are told to have failed or been cancelled."""
    messages = installation.messages.receive(
        Address("default", Channel.FAILED), limit=10, wait=timedelta(0), hidden=MINUTE
    )
    return [json.loads(message.body)["id"] for message in messages]


COMMANDS: dict[str, Callable[[Job], Any]] = {
    "pause": Job.pause,
    "resume": Job.resume,
    "cancel": Job.cancel,
    "restart": Job.restart,
}


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        (State.READY, {"resume", "restart"}),
        (State.PAUSED, {"pause", "restart"}),
        (State.CANCELLED, {"pause", "resume", "cancel"}),
        (State.COMPLETED, {"pause", "resume", "cancel", "restart"}),
    ],
)
def test_refused_command_says_from_which_states_it_is_allowed(
    queue: Queue, worker: Simulation, state: State, refused: set[str]
) -> None:
    job = queue.submit("work")
    if state is State.PAUSED:
        job.pause()
    elif state is State.CANCELLED:
        job.cancel()
    elif state is State.COMPLETED:
        work_off(worker)

    for name in refused:
        with pytest.raises(CommandRefused, match=f"cannot {name} job .* allowed when it is "):
            COMMANDS[name](job)
        assert job.refresh().state is state


def test_command_for_no_job_says_so(installation: Installation) -> None:
    job = RemoteJob(installation).queue().submit("work")
    missing = Job(
        type(job.record)(
            id=new_job_id(0, seeded_entropy(1)),
            state=State.READY,
            task="work",
            queue="default",
            created_ms=0,
            updated_ms=0,
        ),
        installation,
    )

    with pytest.raises(JobNotFound):
        missing.cancel()


class CrashesAt:
    """The manager's process dies after its n-th request."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.reached = False

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        done = function()
        self._left -= 1
        if self._left == 0:
            self.reached = True
            raise Crash(name)
        return done


@pytest.mark.parametrize("command", ["resume", "restart", "cancel"])
def test_manager_that_dies_after_any_request_leaves_nothing_undone(
    clock: FakeClock, command: str
) -> None:
    number, reached = 0, True
    while reached:
        number += 1
        plain = memory_installation(clock)
        worker = Simulation(installation=plain)
        worker.tasks.task("work")(lambda job: "done")
        job = RemoteJob(plain).queue().submit("work")
        if command == "resume":
            job.pause()
        elif command == "restart":
            job.cancel()
        crashing = CrashesAt(number)
        with suppress(Crash):
            COMMANDS[command](Job(job.refresh().record, intercepted(plain, crashing)))
        for _ in range(10):
            clock.advance(MINUTE)
            tick(plain)
            work_off(worker)
        reached = crashing.reached

        record = job.refresh().record
        only_read = number == 1 and command == "resume"
        assert record.terminal or only_read, f"after request {number}: {record.state}"
        assert record.owed is None
    assert number > 2


def test_nothing_is_left_for_the_scheduler_after_a_command(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work").pause().resume()
    work_off(worker)
    clock.advance(timedelta(hours=1))

    assert sum(tick(installation).values()) == 0
    assert job.refresh().record.attention is None
