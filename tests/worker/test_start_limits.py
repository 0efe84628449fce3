"""No run begins after its job's last time to begin: the job ends failed instead, and says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Job, Queue, RemoteJob, Repeat, Retry, State, Submission
from remotejob.client.hooks import Hooks
from remotejob.domain.events import Event
from remotejob.domain.times import from_ms, span_ms
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.holder import JobHolder
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Crash

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SKEW = timedelta(seconds=2)
PAST_THE_LEASE = timedelta(seconds=65)


@pytest.fixture
def runs() -> list[str]:
    """The ids of the jobs whose runs began."""
    return []


@pytest.fixture
def tasks(runs: list[str]) -> Registry:
    tasks = Registry()

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        runs.append(job.id)
        data = job.data or {}
        if data.get("dies"):
            raise Crash("the task brings its worker down")
        if data.get("fails"):
            raise ValueError("told to")
        return "done"

    return tasks


def in_(clock: FakeClock, span: timedelta) -> Any:
    return from_ms(clock.now_ms()) + span


def expired(job: Job) -> bool:
    return job.refresh().state is State.FAILED and job.errors[-1].kind == "JobExpired"


@pytest.mark.parametrize("by", ["span", "date", "until"])
def test_first_run_does_not_begin_after_its_limit(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock, by: str
) -> None:
    options: dict[str, dict[str, Any]] = {
        "span": {"expires": HOUR},
        "date": {"expires": in_(clock, HOUR)},
        "until": {"retry": Retry(until=in_(clock, HOUR))},
    }
    until = in_(clock, HOUR)
    job = queue.submit("work", **options[by])
    assert job.expires_at == until
    clock.advance(2 * HOUR)

    worker.step()

    assert runs == []
    assert expired(job)
    named = "`until` of its retry policy" if by == "until" else "its `expires`"
    assert f"{named} was {until:%Y-%m-%d %H:%M:%S} UTC" in job.errors[-1].message
    assert job.record.owed is None
    assert worker.receive() == []


def test_run_begins_up_to_the_last_moment(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", expires=HOUR)
    clock.advance(HOUR)
    worker.step()
    assert job.refresh().result == "done"


def test_within_the_margin_for_clocks_it_neither_begins_nor_fails(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock
) -> None:
    job = queue.submit("work", expires=HOUR)
    clock.advance(HOUR + timedelta(seconds=1))
    worker.step()
    assert (job.refresh().state, runs) == (State.READY, [])

    clock.advance(SKEW)
    worker.step()
    assert expired(job)


def test_span_counts_from_when_the_job_may_begin(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", delay=timedelta(minutes=10), expires=MINUTE)
    assert job.expires_at == in_(clock, timedelta(minutes=11))
    clock.advance(timedelta(minutes=10))
    worker.step()
    assert job.refresh().state is State.COMPLETED


@pytest.mark.parametrize("late", [False, True], ids=["in time", "too late"])
def test_span_of_a_dependent_counts_from_the_end_of_what_it_waits_for(
    queue: Queue, worker: Simulation, clock: FakeClock, *, late: bool
) -> None:
    first = queue.submit("work", delay=HOUR)
    then = queue.submit("work", depends=[first], expires=timedelta(minutes=10))
    assert then.expires_at is None
    clock.advance(HOUR)
    tick(worker.installation)
    (message,) = worker.receive()
    settlement = worker.handler.attend(message)
    assert settlement is not None
    worker.settler.add(settlement)
    worker.settler.flush()
    assert then.refresh().expires_at == in_(clock, timedelta(minutes=10))
    clock.advance(timedelta(minutes=20 if late else 9))

    worker.step()

    assert expired(then) is late
    if not late:
        assert then.result == "done"


def test_follower_of_a_batch_counts_from_the_end_of_the_batch(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map(
        "work", [1, 2], on_complete=Submission("work", expires=timedelta(minutes=10), crashes=0)
    )
    follower = batch.on_complete
    assert follower is not None
    assert follower.expires_at is None
    clock.advance(HOUR)
    worker.step()
    assert follower.refresh().expires_at == in_(clock, timedelta(minutes=10))
    assert follower.crash_limit == 0
    clock.advance(HOUR)
    worker.step()
    assert expired(follower)


def test_job_that_needs_a_lock_does_not_begin_too_late(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock
) -> None:
    job = queue.submit("work", resource="scanner", expires=HOUR)
    clock.advance(2 * HOUR)
    worker.step()
    assert expired(job)
    assert runs == []


def test_run_that_died_is_followed_by_none_too_late_and_its_death_is_counted(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock
) -> None:
    job = queue.submit("work", data={"dies": True}, expires=MINUTE)
    with pytest.raises(Crash):
        worker.step()
    clock.advance(PAST_THE_LEASE)

    worker.step()

    assert expired(job)
    assert runs == [job.id]
    assert job.crashes == 1
    assert "its last run was lost" in job.errors[-1].message


def test_planned_retry_does_not_begin_too_late_and_keeps_the_error(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock
) -> None:
    retry = Retry(max_attempts=5, wait=timedelta(minutes=30), until=in_(clock, HOUR))
    job = queue.submit("work", data={"fails": True}, retry=retry)
    worker.step()
    assert job.refresh().state is State.WAITING
    clock.advance(3 * HOUR)

    worker.step()
    tick(worker.installation)
    worker.step()

    assert runs == [job.id]
    assert [error.kind for error in job.refresh().errors] == ["ValueError", "JobExpired"]


def test_no_retry_is_planned_after_the_limit(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    retry = Retry(max_attempts=5, wait=HOUR)
    job = queue.submit("work", data={"fails": True}, retry=retry, expires=MINUTE)
    worker.step()
    assert (job.refresh().state, job.errors[-1].kind) == (State.FAILED, "ValueError")


def test_limit_of_the_tasks_own_policy_holds_for_jobs_without_one(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    tasks.forget("work")
    tasks.task("work", retry=Retry(until=in_(clock, HOUR)))(lambda job: "done")
    plain = queue.submit("work")
    own = queue.submit("work", retry=Retry())
    clock.advance(2 * HOUR)

    worker.step()

    assert expired(plain)
    assert "its task's retry policy" in plain.errors[-1].message
    assert own.refresh().result == "done"
    plain.restart()
    worker.step()
    assert plain.refresh().result == "done"


def test_restart_and_rerun_lift_the_limit_of_the_tasks_own_policy(
    queue: Queue, worker: Simulation, runs: list[str], tasks: Registry, clock: FakeClock
) -> None:
    work = tasks["work"].function
    tasks.forget("work")
    tasks.task("work", retry=Retry(until=in_(clock, HOUR)))(work)
    failed, completed = queue.submit("work", data={"fails": True}), queue.submit("work")
    worker.step()
    clock.advance(2 * HOUR)

    failed.restart()
    again = completed.rerun()
    worker.step()

    assert failed.refresh().errors[-1].kind == "ValueError"
    assert runs.count(failed.id) == 2
    assert again.refresh().result == "done"
    assert (failed.expires_at, again.expires_at) == (None, None)


def test_taken_job_does_not_begin_too_late(
    installation: Installation, queue: Queue, clock: FakeClock
) -> None:
    holder = JobHolder(installation, start=lambda beat: None)
    taking = RemoteJob(installation, holder=holder).queue()
    late = queue.submit("work", expires=MINUTE)
    clock.advance(HOUR)
    punctual = queue.submit("work", expires=MINUTE)

    assert [job.id for job in taking.get_work("work", max_jobs=2)] == [punctual.id]
    assert expired(late)


def test_everything_that_follows_a_failure_follows(
    installation: Installation, clock: FakeClock, tasks: Registry
) -> None:
    told: list[tuple[str, str]] = []
    hooks = Hooks()
    hooks.on(Event.FAILED)(lambda event: told.append((event.job.id, event.job.state)))
    here = replace(installation, hooks=hooks)
    queue, worker = RemoteJob(here).queue(), Simulation(installation=here, tasks=tasks)
    repeat = Repeat(wait=HOUR, times=3)
    job = queue.submit("work", expires=MINUTE, repeat=repeat)
    then = queue.submit("work", depends=[job])
    clock.advance(HOUR)

    worker.step()

    assert expired(job)
    assert then.refresh().state is State.CANCELLED
    following = job.next_job()
    assert following is not None
    assert following.due_at is not None
    assert following.expires_at == following.due_at + MINUTE
    assert (job.id, "failed") in told


def test_repeats_end_if_asked_to_stop_on_failure(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", expires=MINUTE, repeat=Repeat(wait=HOUR, on_failure="stop"))
    clock.advance(HOUR)
    worker.step()
    assert expired(job)
    assert job.next_id is None


def test_child_of_a_batch_counts_as_failed(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    batch = queue.map("work", [1, 2], expires=MINUTE)
    clock.advance(HOUR)
    worker.step()
    tick(worker.installation)
    assert batch.refresh().counts.failed == 2


def test_scheduler_fails_a_waiting_job_and_wakes_no_worker(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", delay=HOUR, expires=MINUTE)
    clock.advance(HOUR + 2 * MINUTE)

    counts = tick(worker.installation)

    assert expired(job)
    assert (counts["expired"], counts["sent"]) == (1, 0)
    assert worker.receive() == []
    assert "expired: its last time to begin was over" in [line.message for line in job.logs()]


def test_scheduler_looks_at_a_waiting_job_soon_after_its_limit(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", delay=HOUR, expires=timedelta(minutes=30))
    for _ in range(60 + 32):
        clock.advance(MINUTE)
        tick(worker.installation)
    assert expired(job)


def test_scheduler_fails_a_job_that_waits_at_a_lock(
    queue: Queue, worker: Simulation, runs: list[str], clock: FakeClock
) -> None:
    holder = queue.submit("work", data={"dies": True}, resource="scanner")
    with pytest.raises(Crash):
        worker.step()
    parked = queue.submit("work", resource="scanner", expires=MINUTE)
    worker.step()
    assert parked.refresh().record.parked is not None
    clock.advance(MINUTE + timedelta(seconds=3))
    clock.advance(timedelta(minutes=8))

    tick(worker.installation)

    assert expired(parked)
    assert parked.id not in runs
    assert holder.refresh().state is State.RUNNING


def test_sweep_fails_a_ready_job_whose_message_is_lost(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", expires=MINUTE)
    for message in worker.receive():
        worker.installation.messages.delete(message.address, [message.receipt])
    clock.advance(2 * HOUR)

    counts = sweep(worker.installation)

    assert expired(job)
    assert (counts["expired"], counts["sent"]) == (1, 0)


def test_restart_lifts_a_limit_that_is_over(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", expires=MINUTE)
    clock.advance(HOUR)
    worker.step()

    job.restart()
    clock.advance(HOUR)
    worker.step()

    assert job.refresh().result == "done"
    assert job.expires_at is None


def test_restart_keeps_a_limit_that_is_ahead(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", data={"fails": True}, expires=HOUR)
    until = job.expires_at
    worker.step()
    assert job.restart().expires_at == until


def test_restart_with_another_policy_has_its_until(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", data={"fails": True}, retry=Retry(until=in_(clock, HOUR)))
    worker.step()
    later = in_(clock, 5 * HOUR)
    assert job.restart(retry=Retry(until=later)).expires_at == later


def test_job_made_ready_by_hand_counts_from_its_new_time(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    span = queue.submit("work", delay=HOUR, expires=MINUTE)
    fixed = queue.submit("work", delay=HOUR, expires=in_(clock, 2 * HOUR))
    at = in_(clock, 3 * HOUR)
    assert span.make_ready(at=at).expires_at == at + MINUTE
    assert fixed.make_ready(at=at).expires_at is None


def test_new_job_like_another_counts_its_span_anew(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    span = queue.submit("work", expires=HOUR, crashes=1)
    near = queue.submit("work", expires=in_(clock, HOUR))
    far = queue.submit("work", expires=in_(clock, 9 * HOUR))
    old = queue.submit("work", retry=Retry(max_attempts=3, until=in_(clock, HOUR)))
    worker.step()
    clock.advance(2 * HOUR)

    for again in (span.rerun(), span.replay()):
        assert again.expires_at == in_(clock, HOUR)
        assert again.crash_limit == 1
    for again in (near.rerun(), near.replay()):
        assert again.expires_at is None
    for again in (far.rerun(), far.replay()):
        assert again.expires_at == far.expires_at
    assert old.replay().expires_at is None


@pytest.mark.parametrize(
    "options",
    [
        {"expires": timedelta(0)},
        {"expires": -MINUTE},
        {"expires": 60},
        {"expires": "tomorrow"},
        {"expires": from_ms(0).replace(tzinfo=None)},
        {"expires": from_ms(0)},
        {"expires": timedelta(days=40_000)},
        {"retry": Retry(until=from_ms(0))},
    ],
    ids=lambda options: str(next(iter(options.values()))),
)
def test_limit_under_which_no_run_could_begin_is_refused(
    queue: Queue, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidData, match=r"expires|until"):
        queue.submit("work", **options)
    assert queue.jobs() == []


def test_limit_before_the_due_time_is_refused(queue: Queue, clock: FakeClock) -> None:
    with pytest.raises(InvalidData, match="before it is due"):
        queue.submit("work", delay=2 * HOUR, expires=in_(clock, HOUR))


def test_submitted_again_under_its_key_a_job_is_returned_though_its_limit_is_over(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    until = in_(clock, HOUR)
    job = queue.submit("work", expires=until, idempotency_key="once")
    worker.step()
    clock.advance(2 * HOUR)

    assert queue.submit("work", expires=until, idempotency_key="once").id == job.id
    with pytest.raises(InvalidData, match="is over"):
        queue.submit("work", expires=until, idempotency_key="another")


def test_ordinary_record_has_no_field_more(queue: Queue) -> None:
    record = queue.submit("work").record
    assert (record.start_by_ms, record.start_in_ms, record.crash_limit) == (None, None, None)
    assert not {name for name in record.to_item() if "start_" in name or "crash" in name}


def test_why_says_until_when_and_what_to_do(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work", delay=HOUR, expires=MINUTE)
    until = in_(clock, HOUR + MINUTE)
    reason = job.why()
    assert (reason.code, reason.details["begins_until"]) == ("due", until.isoformat())
    assert f"a run may begin until {until.isoformat()}" in reason.text

    clock.advance(2 * HOUR)
    reason = job.refresh().why()
    assert reason.code == "too_late"
    assert until.isoformat() in reason.text
    assert "restart" in reason.remedy

    tick(worker.installation)
    reason = job.refresh().why()
    assert reason.code == "ended"
    assert "JobExpired" in reason.text
    assert "restart" in reason.remedy


def test_drafts_have_both_limits(queue: Queue) -> None:
    job = queue.new_job("work").expires(HOUR).crashes(0).save()
    assert job.record.start_in_ms == span_ms(HOUR)
    assert job.crash_limit == 0
