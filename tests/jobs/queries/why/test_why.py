"""What a job that does not run is said to wait for. On both backends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, JobNotFound, Queue, RemoteJob, RunningJob, SettingsError
from remotejob.domain.times import from_ms
from remotejob.jobs.queries.why import Reason, Why
from remotejob.jobs.queries.workers import BUSY, GRACE, IDLE
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.lifecycle.presence import Presence, report_failed_start
from remotejob.worker.messages.settlements import Settlement
from remotejob.worker.runs.run import Run
from tests.jobs.queries.why.conftest import Live
from tests.worker.test_suspects import suspected

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def now(clock: FakeClock) -> str:
    return from_ms(clock.now_ms()).isoformat()


def begin(worker: Simulation) -> list[Run | Settlement]:
    """See to what is visible, and leave the runs that begin running."""
    return [worker.handler.begin(message) for message in worker.receive()]


def told(reason: Reason, code: Why, *words: str) -> Reason:
    assert reason.code is code, reason
    for word in words:
        assert word in reason.text
    json.dumps(dict(reason.details))
    return reason


def test_job_that_is_due_later_says_when(queue: Queue, clock: FakeClock) -> None:
    job = queue.submit("work", delay=MINUTE)
    assert job.due_at is not None
    due = job.due_at.isoformat()

    assert told(job.why(), Why.DUE, due).details == {"due": due}


def test_job_whose_run_failed_says_why_and_when_it_runs_again(
    queue: Queue, worker: Simulation
) -> None:
    job = queue.submit("work", data="fail")
    worker.step()

    reason = told(job.why(), Why.RETRY, "ValueError: no")
    assert job.due_at is not None
    assert reason.details == {
        "due": job.due_at.isoformat(),
        "failures": 1,
        "error": "ValueError: no",
    }


def test_job_that_depends_on_others_names_those_that_have_not_completed(
    queue: Queue, worker: Simulation
) -> None:
    done = queue.submit("work")
    worker.step()
    paused, ready = queue.submit("work").pause(), queue.submit("work")
    job = queue.submit("work", depends=[done, paused, ready])

    reason = told(job.why(), Why.DEPENDS, "2 other jobs", f"{paused.id} (paused)")
    assert reason.details["jobs"] == {paused.id: "paused", ready.id: "ready"}


def test_paused_job_says_since_when(queue: Queue, clock: FakeClock) -> None:
    job = queue.submit("work")
    clock.advance(MINUTE)
    job.pause()
    since = now(clock)
    clock.advance(MINUTE)

    assert told(job.why(), Why.PAUSED, since).details == {"since": since}
    assert job.why().remedy == f"resume it: remotejob resume {job.id}"


def test_job_whose_resource_is_held_says_by_which_job_and_since_when(
    queue: Queue, worker: Simulation, live: Live, clock: FakeClock
) -> None:
    live()
    first = queue.submit("work", resource="scanner")
    begin(worker)
    since = now(clock)
    clock.advance(SECOND)
    parked = queue.submit("work", resource="scanner")
    begin(worker)
    clock.advance(SECOND)
    fresh = queue.submit("work", resource="scanner")
    other = queue.submit("work", resource="printer")

    assert parked.refresh().record.parked == "resource#scanner"
    reason = told(parked.why(), Why.RESOURCE, "'scanner'", f"job {first.id} since {since}")
    assert str(reason).endswith("; nothing before it")
    assert reason.details == {"holders": {first.id: since}, "ahead": 0}
    # before a worker has met it, too
    assert told(fresh.why(), Why.RESOURCE, "1 job before it").details["ahead"] == 1
    told(other.why(), Why.QUEUED)


def test_job_of_a_tenant_that_has_all_its_places_says_who_holds_them(
    queue: Queue, worker: Simulation, live: Live
) -> None:
    live()
    holders = [queue.submit("work", tenant="acme")]
    begin(worker)
    holders.append(queue.submit("work", tenant="acme"))
    told(holders[1].why(), Why.QUEUED)
    begin(worker)
    third, other = queue.submit("work", tenant="acme"), queue.submit("work", tenant="umbrella")

    reason = told(third.why(), Why.TENANT, "2 places of tenant 'acme'")
    assert set(reason.details["holders"]) == {job.id for job in holders}
    told(other.why(), Why.QUEUED)


def test_resource_held_by_a_run_that_is_over_is_in_nobodys_way(
    queue: Queue, worker: Simulation, live: Live, clock: FakeClock
) -> None:
    queue.submit("work", resource="scanner")
    begin(worker)
    job = queue.submit("work", resource="scanner")
    told(job.why(), Why.RESOURCE)

    clock.advance(timedelta(seconds=63))
    live()
    told(job.why(), Why.QUEUED)


def test_job_whose_turn_has_not_come_says_how_long_its_lane_is(
    queue: Queue, live: Live, clock: FakeClock
) -> None:
    live("w1")
    live("w2", "work", "draw")
    live("w3", "draw")
    queue.submit("work", priority=10)
    jobs = [queue.submit("work") for _ in range(3)]

    reason = told(jobs[0].why(), Why.QUEUED, "about 3 messages in lane normal", "2 workers")
    assert reason.details["visible"] == 3
    assert sorted(reason.details["workers"]) == ["w1", "w2"]
    assert reason.details["places"] == 8


def test_job_that_no_living_worker_can_do_says_so(
    queue: Queue, remote: RemoteJob, live: Live, clock: FakeClock
) -> None:
    job = queue.submit("work")
    told(job.why(), Why.NO_WORKER, "task 'work'", "none was seen in 2 days")

    live("w1")
    seen = now(clock)
    told(job.why(), Why.QUEUED)
    clock.advance(BUSY + GRACE)
    told(job.why(), Why.QUEUED, "1 worker with", "seen 120 s ago")
    clock.advance(SECOND)
    told(job.why(), Why.QUEUED, "1 worker with", f"idle and silent since {seen} (121 s ago)")
    clock.advance(2 * IDLE)
    told(job.why(), Why.NO_WORKER, f"the last one, w1, was seen at {seen} (12 min ago)")
    live("w1").stop()
    seen = now(clock)
    reason = told(job.why(), Why.NO_WORKER, "the last one, w1, was seen at " + seen)
    assert reason.details == {"task": "work", "last_seen": seen, "worker": "w1"}

    live("w2", "draw")
    told(job.why(), Why.NO_TASK, "though queue 'default' has 1 other live worker", seen)
    clock.advance(SECOND)
    live("w3").stop()
    told(job.why(), Why.NO_TASK, "the last one, w3,")
    assert remote.unable([job]) == [job]


def test_job_whose_workers_are_dead_and_cannot_start_again_says_so_first(
    queue: Queue, installation: Installation, live: Live, clock: FakeClock
) -> None:
    live("w1")
    live("w2")
    job = queue.submit("work")
    clock.advance(30 * SECOND)
    problem = SettingsError("REMOTEJOB_TASKS='x' cannot be imported; name the module")
    problem.__cause__ = ModuleNotFoundError("No module named 'y'")
    report_failed_start(installation, worker="host", queue="default", problem=problem)
    clock.advance(40 * SECOND)

    said = "ModuleNotFoundError: REMOTEJOB_TASKS='x' cannot be imported; name the module"
    first = f"worker host could not start 40 s ago: {said}"
    reason = told(job.why(), Why.CANNOT_START, first, "which could, was last seen 70 s ago")
    assert sorted(reason.details["workers"]) == ["w1", "w2"]
    clock.advance(2 * IDLE)
    reason = told(job.why(), Why.CANNOT_START, first.replace("40 s", "10 min"))
    assert reason.details["cannot_start"] == said
    assert reason.details["workers"] == []

    live("w3")
    reason = told(job.why(), Why.QUEUED, "1 worker with")
    assert "could not start" not in reason.text


def test_job_whose_only_worker_is_about_to_stop_says_so(
    queue: Queue, remote: RemoteJob, worker: Simulation, clock: FakeClock
) -> None:
    life = Presence(
        worker.installation,
        worker="w1",
        queue="default",
        abilities=("draw", "work"),
        concurrency=4,
        running=worker.runs.running,
    )
    waiting = queue.submit("work", delay=SECOND)
    reasons: list[Reason] = []

    @worker.tasks.task("draw")
    def draw(job: RunningJob) -> None:
        life.give_if_due(lambda sign: sign())
        life.drain()
        life.give_if_due(lambda sign: sign())
        clock.advance(SECOND)
        reasons.append(waiting.why())
        assert remote.unable([waiting]) == [waiting]

    queue.submit("draw")
    worker.step()

    told(reasons[0], Why.DRAINING, "worker w1, seen", "about to stop")


def test_listing_tells_those_apart_that_nobody_can_do(
    queue: Queue, remote: RemoteJob, worker: Simulation, live: Live
) -> None:
    done = queue.submit("work")
    worker.step()
    running = queue.submit("work")
    begin(worker)
    able, waiting, later = (
        queue.submit("work"),
        queue.submit("draw"),
        queue.submit("draw", delay=MINUTE),
    )
    everything = remote.jobs()
    assert {job.id for job in everything} == {
        job.id for job in (done, running, able, waiting, later)
    }
    assert remote.unable(everything) == [
        job for job in everything if job.id in _ids(able, waiting, later)
    ]

    live("w1")
    assert _ids(*remote.unable(everything)) == _ids(waiting, later)


def test_job_of_a_queue_that_is_not_deployed_says_so(
    queue: Queue, installation: Installation, remote: RemoteJob
) -> None:
    job = queue.submit("work")
    without = replace(installation, queues={})

    told(Job(job.record, without).why(), Why.NO_QUEUE, "'default' is not deployed")
    assert RemoteJob(without).unable([job]) == [job]


def test_running_job_says_where_and_since_when(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    begin(worker)
    since = now(clock)

    reason = told(job.why(), Why.RUNNING, "attempt 1", "worker w1")
    assert reason.details == {"worker": "w1", "attempt": 1, "since": since}


def test_job_whose_worker_fell_silent_says_so(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    begin(worker)
    until = from_ms(clock.now_ms()) + timedelta(seconds=60)

    clock.advance(timedelta(seconds=61))
    told(job.why(), Why.RUNNING)
    clock.advance(SECOND)
    reason = told(job.why(), Why.WORKER_SILENT, "worker w1 fell silent")
    assert reason.details["lease_until"] == until.isoformat()


def test_cancelled_run_that_has_not_let_go_says_until_when_it_may(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    begin(worker)
    until = (from_ms(clock.now_ms()) + timedelta(seconds=60)).isoformat()
    job.cancel()

    reason = told(job.why(), Why.WINDING_DOWN, "worker w1", until)
    assert reason.details == {"worker": "w1", "until": until}
    # restarted, it waits for the same
    job.restart()
    told(job.why(), Why.WINDING_DOWN)
    clock.advance(timedelta(seconds=62))
    told(job.why(), Why.NO_WORKER)


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (lambda queue, worker: _ended(queue, worker, None), "it has completed, at "),
        (lambda queue, worker: _ended(queue, worker, "fatal"), "Fatal: never"),
        (lambda queue, worker: queue.submit("work").cancel(), "it was cancelled, at "),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_job_that_has_ended_says_how(
    queue: Queue, worker: Simulation, ends: Callable[[Queue, Simulation], Job], words: str
) -> None:
    job = ends(queue, worker)

    assert told(job.why(), Why.ENDED, words).details["state"] == job.state


def test_job_whose_status_is_still_owed_says_so(queue: Queue, worker: Simulation) -> None:
    job = queue.submit("work", data="fatal")
    for message in worker.receive():
        worker.handler.attend(message)

    told(job.why(), Why.OWED, "Fatal: never", "still being carried out")
    worker.settler.flush()
    assert job.why().details["state"] == "failed"


def test_job_that_was_removed_is_not_found(queue: Queue) -> None:
    job = queue.submit("work").cancel()
    job.remove()

    with pytest.raises(JobNotFound):
        job.why()


def test_reason_is_of_the_moment_not_of_when_the_job_was_read(
    queue: Queue, remote: RemoteJob
) -> None:
    job = queue.submit("work")
    remote.job(job.id).pause()

    told(job.why(), Why.PAUSED)
    assert str(job.why()) == job.why().text


def test_asking_why_changes_nothing(
    queue: Queue, installation: Installation, worker: Simulation
) -> None:
    job = queue.submit("work", resource="scanner", tenant="acme")
    before = job.refresh().record
    job.why()

    assert job.refresh().record == before
    assert installation.messages.depth(Address("default", Channel.NORMAL)).visible == 1


def _ended(queue: Queue, worker: Simulation, data: str | None) -> Job:
    job = queue.submit("work", data=data)
    worker.step()
    return job.refresh()


def _ids(*jobs: Job) -> set[str]:
    return {job.id for job in jobs}


def test_job_that_runs_alone_says_so(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    job = suspected(queue.submit("work"), installation, crashes=1)
    begin(worker)
    clock.advance(timedelta(seconds=63))

    told(job.refresh().why(), Why.WORKER_SILENT, "it has crashed before, so it runs alone")
