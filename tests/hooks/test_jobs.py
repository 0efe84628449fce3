"""Hooks of jobs: when they are called, with what, how often. On both backends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import JobFailed, Priority, Queue, Repeat, Retry, RunningJob, State, Submission
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.domain.events import Event
from remotejob.domain.states import TERMINAL
from remotejob.jobs.scheduler.tick import tick
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.ports import Installation
from remotejob.settings import QueueSettings, Route, Settings, SystemSettings
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.handler import ProcessDeath
from tests.hooks.conftest import StopRequests

MINUTE = timedelta(minutes=1)


def work_off(worker: Simulation) -> None:
    while worker.step():
        pass


def begin(worker: Simulation) -> None:
    """See to what is visible, and leave the runs that begin running."""
    for message in worker.receive():
        worker.handler.begin(message)


def test_hooks_of_creator_and_worker_are_called_in_the_order_of_a_jobs_life(
    queue: Queue, worker: Simulation, told: StopRequests, clock: FakeClock
) -> None:
    job = queue.submit("work", data="half")
    assert told.names == ["created", "staged"]
    assert told.job(Event.CREATED).job.id == job.id
    work_off(worker)

    assert told.names == ["created", "staged", "progress", "completed"]
    assert told.job(Event.PROGRESS).progress == (1, 2)
    assert told.job(Event.PROGRESS).job.state is State.RUNNING
    completed = told.job(Event.COMPLETED)
    assert completed.job.result == "done"
    assert completed.at.timestamp() * 1000 == clock.now_ms()


def test_failed_run_is_counted_and_the_last_one_fails_the_job(
    queue: Queue, worker: Simulation, told: StopRequests, clock: FakeClock
) -> None:
    queue.submit("work", data="fail")
    told.clear()
    work_off(worker)

    counted = told.job(Event.COUNT_FAILED)
    assert counted.job.state is State.WAITING
    assert counted.failure is not None
    assert (counted.failure.kind, counted.failure.message) == ("ValueError", "no")
    assert counted.again_at == counted.job.due_at
    assert told.names == ["count_failed"]

    clock.advance(timedelta(minutes=5))
    work_off(worker)
    failed = told.job(Event.FAILED)
    assert told.names == ["count_failed", "failed"]
    assert failed.failure is not None
    assert failed.failure.attempt == 2
    assert failed.again_at is None
    with pytest.raises(JobFailed):
        _ = failed.job.result


def test_fatal_failure_is_reported_as_the_last(
    queue: Queue, worker: Simulation, told: StopRequests
) -> None:
    queue.submit("work", data="fatal")
    told.clear()
    work_off(worker)

    assert told.names == ["failed"]


def test_each_of_many_is_created_before_it_is_staged(queue: Queue, told: StopRequests) -> None:
    jobs = queue.submit_many([Submission(task="work")] * 12)

    assert [one.job.id for one in told.of(Event.CREATED)] == [job.id for job in jobs]
    assert {one.job.id for one in told.of(Event.STAGED)} == {job.id for job in jobs}
    assert len(told.events) == 24


def test_same_submission_again_is_not_created_again(queue: Queue, told: StopRequests) -> None:
    for _ in range(2):
        queue.submit("work", idempotency_key="once")

    assert told.names == ["created", "staged", "staged"]


def test_job_whose_message_waits_is_staged_once_that_is_sent(
    queue: Queue, installation: Installation, clock: FakeClock, told: StopRequests
) -> None:
    queue.submit("work", delay=timedelta(hours=1))
    assert told.names == ["created"]

    clock.advance(timedelta(minutes=59))
    tick(installation)
    assert told.names == ["created", "staged"]


def test_upload_delivered_twice_is_created_once(
    installation: Installation, told: StopRequests, clock: FakeClock
) -> None:
    settings = Settings(
        system=SystemSettings(),
        queues={"default": QueueSettings(tasks=("work",))},
        routes=(Route(task="work"),),
    )
    upload = Upload(
        bucket="b", key="k", size=1, etag="e", version=None, sequencer=None, at_ms=clock.now_ms()
    )
    for _ in range(2):
        ingest(upload, settings, installation)

    assert told.names == ["created", "staged", "staged"]


def test_job_of_a_stored_file_is_created_and_staged(queue: Queue, told: StopRequests) -> None:
    job = queue.trigger("pending", queue.store({"body": b"a body"}), task="work")

    assert told.names == ["created", "staged"]
    assert told.job(Event.CREATED).job.id == job.id


def test_successor_is_created_when_its_job_completes_and_a_rerun_when_asked_for(
    queue: Queue, worker: Simulation, told: StopRequests
) -> None:
    job = queue.submit("work", repeat=Repeat(wait=MINUTE, times=1))
    told.clear()
    work_off(worker)

    created = told.job(Event.CREATED)
    assert created.job.id == job.refresh().next_id
    assert told.names == ["created", "staged", "completed"]

    told.clear()
    again = job.rerun()
    assert told.job(Event.CREATED).job.id == again.id


def test_the_canceller_notifies_cancelled_once(
    queue: Queue, worker: Simulation, told: StopRequests
) -> None:
    job = queue.submit("work")
    told.clear()
    job.cancel()
    assert told.names == ["cancelled"]

    work_off(worker)  # which meets its message
    assert told.names == ["cancelled"]


def test_dependents_cancelled_with_a_failed_job_send_their_status(
    queue: Queue, worker: Simulation, told: StopRequests
) -> None:
    first = queue.submit("work", data="fatal")
    second = queue.submit("other", depends=[first])
    told.clear()
    work_off(worker)

    assert told.names == ["failed", "cancelled"]
    assert told.job(Event.CANCELLED).job.id == second.id


def test_worker_that_died_is_counted_by_the_next_one(
    queue: Queue,
    installation: Installation,
    worker: Simulation,
    told: StopRequests,
    clock: FakeClock,
) -> None:
    def dies(*_: object) -> None:
        raise ProcessDeath

    dead = Simulation(installation=installation, worker="dead")
    dead.tasks.task("work")(dies)
    job = queue.submit("work")
    told.clear()
    with pytest.raises(ProcessDeath):
        dead.step()
    assert told.names == []

    clock.advance(timedelta(seconds=63))
    work_off(worker)

    counted = told.job(Event.COUNT_FAILED)
    assert counted.failure is not None
    assert counted.failure.kind == "WorkerDied"
    assert counted.again_at is None
    assert told.names == ["count_failed", "completed"]
    assert job.refresh().state is State.COMPLETED


class Overtaken:
    """Just before the second update of a record, somebody else does something."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._updates = 0

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        if name == "store.update":
            self._updates += 1
            if self._updates == 2:
                self._act()
        return function()


def test_only_the_worker_that_claims_the_job_reports_the_death(
    queue: Queue,
    installation: Installation,
    worker: Simulation,
    told: StopRequests,
    clock: FakeClock,
) -> None:
    queue.submit("work")
    begin(worker)
    clock.advance(timedelta(seconds=63))
    (message,) = worker.receive()
    late = Simulation(
        installation=intercepted(installation, Overtaken(lambda: worker.handler.begin(message))),
        tasks=worker.tasks,
    )
    told.clear()
    late.handler.begin(message)

    assert told.names == ["count_failed"]


def test_run_that_was_parked_meanwhile_tells_of_no_failure_before_its_own(
    queue: Queue,
    installation: Installation,
    worker: Simulation,
    told: StopRequests,
    clock: FakeClock,
) -> None:
    slow = Simulation(installation=installation, worker="slow")

    @slow.tasks.task("work", retry=Retry(max_attempts=9, wait=timedelta(0)))
    def work(job: RunningJob) -> None:
        if job.attempt == 2:
            # its lease ends, and another job takes its resource
            clock.advance(timedelta(seconds=63))
            queue.submit("work", resource="scanner", priority=Priority.HIGH)
            begin(worker)
            told.clear()
        raise ValueError

    job = queue.submit("work", resource="scanner")
    slow.step()
    assert told.job(Event.COUNT_FAILED).job.attempt == 1
    slow.step()

    assert job.refresh().record.parked == "resource#scanner"
    assert told.names == []


def test_last_worker_that_dies_fails_the_job(
    queue: Queue, installation: Installation, told: StopRequests, clock: FakeClock
) -> None:
    def dies(*_: object) -> None:
        raise ProcessDeath

    dying = Simulation(installation=installation)
    dying.tasks.task("work")(dies)
    queue.submit("work")
    told.clear()
    for _ in range(CRASH_BUDGET):
        with pytest.raises(ProcessDeath):
            dying.step()
        clock.advance(timedelta(seconds=63))
    dying.step()

    assert told.names == ["count_failed"] * (CRASH_BUDGET - 1) + ["failed"]


def test_status_is_sent_after_the_commit_and_again_after_a_death_before_the_delete(
    queue: Queue, worker: Simulation, hooks: Hooks, clock: FakeClock
) -> None:
    seen: list[State] = []

    @hooks.on("completed")
    def dies_once(event: JobEvent) -> None:
        seen.append(event.job.refresh().state)
        if len(seen) == 1:
            raise ProcessDeath

    queue.submit("work")
    with pytest.raises(ProcessDeath):
        worker.step()
    clock.advance(timedelta(seconds=61))
    work_off(worker)
    clock.advance(timedelta(seconds=61))
    work_off(worker)

    assert seen == [State.COMPLETED, State.COMPLETED]


@pytest.mark.parametrize("error", [ValueError("hook"), SystemExit(3)])
def test_hook_that_raises_is_logged_and_changes_nothing(
    queue: Queue,
    worker: Simulation,
    hooks: Hooks,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: JobEvent) -> None:
        raise error

    after: list[str] = []
    for event in Event:
        hooks.on(event, broken)
        hooks.on(event, lambda one: after.append(one.event))
    jobs = [queue.submit("work", data=data) for data in ("half", "fatal")]
    jobs[0].refresh()
    work_off(worker)

    assert [job.refresh().state for job in jobs] == [State.COMPLETED, State.FAILED]
    assert all(job.record.owed is None for job in jobs)
    assert {"created", "staged", "progress", "completed", "failed", "call"} == set(after)
    assert {vars(record)["hook"] for record in caplog.records if record.msg == "hook failed"} == {
        "broken"
    }


def test_hook_of_a_task_gets_only_its_jobs(queue: Queue, worker: Simulation, hooks: Hooks) -> None:
    heard: list[str] = []
    hooks.on("completed", lambda event: heard.append(event.job.task), task="other")
    queue.submit("work")
    queue.submit("other")
    work_off(worker)

    assert heard == ["other"]


@pytest.mark.parametrize(
    ("data", "state"), [(None, "completed"), ("fatal", "failed"), ("stop", "cancelled")]
)
def test_every_end_of_a_job_has_its_event(
    queue: Queue, worker: Simulation, told: StopRequests, data: str | None, state: str
) -> None:
    job = queue.submit("work", data=data)
    told.clear()
    if state == "cancelled":
        job.cancel()
    work_off(worker)

    assert told.names == [state]
    (ended,) = told.events
    assert (ended.job.id, ended.job.state) == (job.id, State(state))
    assert State(state) in TERMINAL
