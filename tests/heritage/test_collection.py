"""What job-collection's users may rely on of a collection, its jobs and their records."""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remotejob import (
    CommandRefused,
    Completion,
    InvalidData,
    Job,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    State,
)
from remotejob.domain.record import JobRecord
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, JobSystem, Simulation, memory_installation
from tests.heritage.conftest import work_off

MINUTE = timedelta(minutes=1)
YEAR = timedelta(days=365)
TINY = timedelta(milliseconds=1)


def test_queues_are_tables_of_the_settings_and_default_is_the_one_not_named() -> None:
    made = JobSystem('[queues.mail]\ntasks = ["send"]\n[queues.default]\ntasks = ["work"]\n')
    assert set(made.client.queues) == {"mail", "default"}
    assert (made.client.queue("mail").name, made.client.queue("mail").tasks) == ("mail", ("send",))
    assert (made.client.queue().name, made.client.queue().tasks) == ("default", ("work",))


@pytest.mark.parametrize(
    ("settings", "days"), [("", 30), ("[system]\nretention_days = 15\n", 15)], ids=["30", "15"]
)
@pytest.mark.parametrize("end", ["done", "fail", "cancel"])
def test_an_ended_job_expires_after_the_days_of_the_settings(
    end: str, settings: str, days: int
) -> None:
    made = JobSystem(settings + '[queues.default]\ntasks = ["work"]\n')
    job = made.client.queue().submit("work")
    if end == "cancel":
        job.cancel()
    else:
        (taken,) = made.client.queue().get_work()
        taken.done() if end == "done" else taken.fail("no")

    ended = job.refresh().finished_at
    assert ended is not None
    assert job.record.expires_s == int((ended + timedelta(days=days)).timestamp())


def test_nothing_is_written_of_commands_unless_a_hook_asks_for_it(
    queue: Queue, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="remotejob")
    job = queue.submit("work")
    job.pause()
    with pytest.raises(CommandRefused):
        job.pause()
    job.cancel()

    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_job_without_options_has_the_defaults_of_a_job(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    worker.tasks.task("work")(_fails)
    job = queue.submit("work")
    assert (job.state, job.due_at, job.priority, job.depends) == (State.READY, None, 0, ())
    lane = Address("default", Channel.NORMAL)
    assert installation.messages.depth(lane).visible == 1

    work_off(worker)

    # tried once, and not repeated
    assert (job.refresh().state, job.attempt, job.next_id) == (State.FAILED, 1, None)
    assert [one.id for one in queue.jobs()] == [job.id]


def test_one_job_is_taken_unless_more_are_asked_for(queue: Queue) -> None:
    for _ in range(3):
        queue.submit("work")
    assert len(queue.get_work()) == 1
    assert len(queue.get_work(max_jobs=9)) == 2


def test_work_is_got_of_all_the_tasks_unless_some_are_named(queue: Queue) -> None:
    queue.submit("work")
    queue.submit("other")
    assert sorted(job.task for job in queue.get_work(max_jobs=9)) == ["other", "work"]


@pytest.mark.parametrize("result", [None, 0, False, "", [], {"value": [1.5, None]}])
def test_what_is_done_by_hand_has_its_result_unchanged(queue: Queue, result: Any) -> None:
    job = queue.submit("work")
    (taken,) = queue.get_work()
    taken.done(result)
    assert job.refresh().result == result


def test_dependents_run_at_once_unless_they_are_to_be_delayed(queue: Queue) -> None:
    first = queue.submit("work")
    second = queue.submit("work", depends=[first])
    (taken,) = queue.get_work()
    taken.done()
    assert [job.id for job in queue.get_work()] == [second.id]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("no network", "ReportedFailure", "no network"),
        (ValueError("no network"), "ValueError", "no network"),
        ({"code": 44}, "ReportedFailure", '{"code":44}'),
    ],
)
def test_what_is_failed_by_hand_is_an_exception_text_or_a_dict(
    queue: Queue, error: Any, kind: str, message: str
) -> None:
    job = queue.submit("work", retry=Retry(max_attempts=2))
    (taken,) = queue.get_work()
    taken.fail(error)
    (failure,) = job.refresh().errors
    assert (failure.kind, failure.message) == (kind, message)
    assert job.state is State.WAITING


def test_progress_is_of_one_unless_a_total_is_given(queue: Queue) -> None:
    job = queue.submit("work")
    (taken,) = queue.get_work()
    taken.progress(0.25)
    taken.fail("half way", fatal=True)
    assert job.refresh().progress == (0.25, 1)


def test_a_restart_takes_only_dependents_that_were_cancelled_with_the_job(
    queue: Queue, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: None)
    first = queue.submit("work")
    by_hand, with_it = (queue.submit("work", depends=[first]) for _ in range(2))
    by_hand.cancel()
    first.cancel()

    first.restart(dependents=True)
    work_off(worker)

    ended = [job.refresh().state for job in (first, by_hand, with_it)]
    assert ended == [State.COMPLETED, State.CANCELLED, State.COMPLETED]


@pytest.mark.parametrize("way", ["submit", "draft"])
def test_only_repeats_of_the_same_task_and_queue_are_cancelled_and_only_if_asked_to(
    way: str, clock: FakeClock
) -> None:
    queues = {"default": ("work", "other"), "second": ("work",)}
    installation = memory_installation(clock, queues=queues)
    remote = RemoteJob(installation)
    queue, repeat = remote.queue(), Repeat(wait=MINUTE)
    old = [queue.submit("work", repeat=repeat), queue.new_job("work").repeat(repeat).save()]
    others = [
        queue.submit("other", repeat=repeat),
        remote.queue("second").submit("work", repeat=repeat),
    ]
    # the scheduler would cancel what is outdated
    tick(installation)
    assert {job.refresh().state for job in (*old, *others)} == {State.READY}

    if way == "draft":
        queue.new_job("work").repeat(repeat).save(cancel_repeats=True)
    else:
        queue.submit("work", repeat=repeat, cancel_repeats=True)

    assert {job.refresh().state for job in old} == {State.CANCELLED}
    assert {job.refresh().state for job in others} == {State.READY}


def test_what_a_job_waits_for_shrinks_and_what_it_depends_on_stays(
    queue: Queue, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: None)
    first, second = queue.submit("work"), queue.submit("work", delay=MINUTE)
    last = queue.submit("work", depends=[first, second])
    assert last.record.blocked == frozenset({first.id, second.id})

    work_off(worker)
    assert last.refresh().record.blocked == frozenset({second.id})
    second.make_ready()
    work_off(worker)

    assert last.refresh().state is State.COMPLETED
    assert not last.record.blocked
    assert last.depends == (first.id, second.id)


def test_a_record_is_frozen() -> None:
    assert dataclasses.is_dataclass(JobRecord)
    record = JobRecord(
        id="01KAAAAAAAAAAAAAAAAAAAAAAA", state=State.READY, task="work", queue="default",
        priority=0, created_ms=0, updated_ms=0,
    )  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.priority = 1  # type: ignore[misc]


def test_a_rerun_repeats_until_the_date_of_its_own_repeat(
    queue: Queue, remote: RemoteJob, worker: Simulation, clock: FakeClock
) -> None:
    worker.tasks.task("work")(lambda job: None)
    until = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + 90 * MINUTE
    first = queue.submit("work", repeat=Repeat(times=0, until=until))
    work_off(worker)
    second = first.refresh().rerun(repeat=Repeat(wait=60 * MINUTE, until=until))
    forever = first.rerun(repeat=Repeat(wait=60 * MINUTE))
    work_off(worker)
    assert forever.refresh().repeat == Repeat(wait=60 * MINUTE)

    third = remote.job(second.refresh().next_id or "")
    assert third.repeat == Repeat(wait=60 * MINUTE, until=until)
    clock.advance(60 * MINUTE)
    third.make_ready()
    work_off(worker)
    # the next would be due after it
    assert (third.refresh().state, third.next_id) == (State.COMPLETED, None)


def test_a_rerun_is_due_at_once_unless_it_is_to_wait(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    worker.tasks.task("work")(lambda job: None)
    first = queue.submit("work")
    work_off(worker)
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)

    assert first.refresh().rerun().due_at == now
    assert first.rerun(wait=MINUTE).due_at == now + MINUTE


def _ended(queue: Queue) -> Job:
    job = queue.submit("work")
    (taken,) = queue.get_work()
    taken.done()
    return job.refresh()


LONGEST: dict[str, tuple[timedelta, Any]] = {
    "retry wait": (YEAR, lambda queue, span: Retry(wait=span)),
    "repeat wait": (YEAR, lambda queue, span: Repeat(wait=span)),
    "rerun wait": (YEAR, lambda queue, span: _ended(queue).rerun(wait=span)),
    "done delayDeps": (YEAR, lambda queue, span: Completion(delay_dependents=span)),
    "delay": (100 * YEAR, lambda queue, span: queue.submit("work", delay=span)),
}
"""Each wait with its bound, and something that waits for so long."""


@pytest.mark.parametrize("wait", LONGEST)
def test_waits_have_bounds_which_are_refused_beyond(wait: str, queue: Queue) -> None:
    longest, waits_for = LONGEST[wait]
    waits_for(queue, longest)
    with pytest.raises(InvalidData, match=f"{longest.days}"):
        waits_for(queue, longest + TINY)


def test_after_may_be_further_off_than_any_delay(queue: Queue) -> None:
    far = datetime(9000, 1, 1, tzinfo=UTC)
    job = queue.submit("work", after=far)
    assert (job.state, job.due_at) == (State.WAITING, far)


def _fails(job: object) -> None:
    raise ValueError("no")
