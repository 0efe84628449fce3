"""Jobs that are run again: repeats, reruns, and what one key makes once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from remotejob import (
    CommandRefused,
    InvalidData,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    State,
    Submission,
)
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.domain.ids import new_job_id
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.scheduler.lapsed import fail_ended
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock
from remotejob.worker.messages.handler import ProcessDeath
from tests.jobs.coordination.work import Work, dies

MINUTE = timedelta(minutes=1)


def pass_time(work: Work, clock: FakeClock, installation: Installation, minutes: int) -> None:
    for _ in range(minutes):
        work.off()
        clock.advance(MINUTE)
        tick(installation)
    work.off()


def test_job_repeats_as_often_as_asked(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work", data=1, repeat=Repeat(times=2, wait=MINUTE))
    pass_time(work, clock, installation, 10)
    assert work.began == [1, 1, 1]
    assert [job.state for job in queue.jobs()] == [State.COMPLETED] * 3


def test_each_run_names_the_one_that_repeats_it(
    queue: Queue, remote: RemoteJob, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", repeat=Repeat(times=1, wait=30 * MINUTE))
    work.off()

    assert first.refresh().next_id is not None
    second = remote.job(first.next_id or "")
    assert second.origin_id == first.id
    assert second.state is State.WAITING
    assert second.due_at == datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + 30 * MINUTE
    assert second.repeat == Repeat(times=0, wait=30 * MINUTE)
    pass_time(work, clock, installation, 31)
    assert second.refresh().state is State.COMPLETED
    assert second.next_id is None


def test_next_run_is_on_time_without_the_scheduler(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    queue.submit("work", data=1, repeat=Repeat(times=1, wait=MINUTE))
    work.off()
    clock.advance(MINUTE)
    work.off()
    assert work.began == [1, 1]


def test_repeats_end_at_the_date_given(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    until = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + 5 * MINUTE
    queue.submit("work", repeat=Repeat(wait=2 * MINUTE, until=until))
    pass_time(work, clock, installation, 20)
    assert len(work.began) == 3


def test_schedule_holds_from_the_first_run_on(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    clock.advance(timedelta(minutes=7, seconds=20))
    job = queue.submit("work", repeat=Repeat(schedule="every 15 minutes", times=1))
    assert job.due_at == datetime(2026, 1, 15, 12, 15, tzinfo=UTC)
    pass_time(work, clock, installation, 30)
    assert [one.due_at for one in queue.jobs()] == [
        datetime(2026, 1, 15, 12, 30, tzinfo=UTC),
        datetime(2026, 1, 15, 12, 15, tzinfo=UTC),
    ]


def test_failed_run_is_repeated(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data="fail", repeat=Repeat(times=2, wait=2 * MINUTE))
    work.off()

    following = job.refresh().next_job()

    assert job.state is State.FAILED
    assert following is not None
    assert following.due_at == datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + 2 * MINUTE
    assert following.previous is not None
    assert following.previous.state is State.FAILED
    assert following.previous.error == "ValueError: it cannot be done"
    pass_time(work, clock, installation, 10)
    assert work.began == ["fail"] * 3


def test_failed_run_is_not_repeated_if_asked_to_stop(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data="fail", repeat=Repeat(wait=MINUTE, on_failure="stop"))
    pass_time(work, clock, installation, 5)
    assert work.began == ["fail"]
    assert job.refresh().next_id is None


def test_run_that_is_tried_again_has_no_successor_before_it_ended(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    retry = Retry(max_attempts=3, wait=MINUTE)
    queue.submit("work", data="fail", retry=retry, repeat=Repeat(times=1, wait=MINUTE))
    pass_time(work, clock, installation, 1)
    assert len(queue.jobs()) == 1
    pass_time(work, clock, installation, 10)
    assert work.began == ["fail"] * 6
    assert [job.state for job in queue.jobs()] == [State.FAILED] * 2


@pytest.mark.parametrize("found_by", ["a worker", "the scheduler"])
def test_run_whose_workers_died_is_repeated_once(
    found_by: str, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data=1, repeat=Repeat(times=1, wait=MINUTE))
    for _ in range(CRASH_BUDGET):
        work.while_running[1] = dies
        with pytest.raises(ProcessDeath):
            work.step()
        clock.advance(2 * MINUTE)
    if found_by == "the scheduler":
        record = installation.store.get(job.id)
        assert record is not None
        assert fail_ended([record], installation) == 1
    work.step()

    assert job.refresh().state is State.FAILED
    following = job.next_job()
    assert following is not None
    assert following.previous is not None
    assert "the worker died" in str(following.previous.error)
    pass_time(work, clock, installation, 3)
    assert [one.state for one in queue.jobs()] == [State.COMPLETED, State.FAILED]


def test_run_cancelled_with_the_job_it_depends_on_is_repeated(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", data="fail")
    job = queue.submit("work", data=1, depends=[first], repeat=Repeat(times=1, wait=MINUTE))
    work.off()

    assert job.refresh().state is State.CANCELLED
    following = job.next_job()
    assert following is not None
    assert following.previous is not None
    assert "DependencyFailed" in str(following.previous)
    pass_time(work, clock, installation, 3)
    assert work.began == ["fail", 1]


def test_restarted_run_has_no_second_successor(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data="fail", repeat=Repeat(wait=10 * MINUTE))
    work.off()
    following = job.refresh().next_id
    for _ in range(2):
        job.restart()
        work.off()

    assert job.refresh().next_id == following
    assert len(queue.jobs()) == 2


def test_failure_is_recorded_even_if_the_schedule_can_no_longer_be_read(
    queue: Queue, work: Work, installation: Installation
) -> None:
    repeat = '{"s":"every day at 09:30","z":"Nowhere/Gone"}'
    job = queue.submit("work", data="fail")
    broken = replace(job.record, id=new_job_id(job.record.created_ms, installation.entropy))
    installation.store.put_new(replace(broken, repeat_json=repeat))
    send_for([broken], installation)
    work.off()
    record = installation.store.get(broken.id)
    assert record is not None
    assert (record.state, record.next_id) == (State.FAILED, None)


def test_cancelled_job_is_not_repeated(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data=1, delay=MINUTE, repeat=Repeat(wait=MINUTE))
    job.cancel()
    pass_time(work, clock, installation, 5)
    assert (work.began, job.refresh().next_id) == ([], None)


def test_record_without_the_option_goes_on_after_a_failure() -> None:
    assert Repeat.from_json('{"w":60000}') == Repeat(wait=MINUTE, on_failure="continue")


def test_cancelling_the_next_run_ends_the_repeats(
    queue: Queue, remote: RemoteJob, work: Work, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work", data=1, repeat=Repeat(wait=5 * MINUTE))
    work.off()
    remote.job(job.refresh().next_id or "").cancel()
    pass_time(work, clock, installation, 12)
    assert work.began == [1]


def test_submit_can_cancel_the_repeats_of_its_task(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    old = queue.submit("work", data="old", repeat=Repeat(wait=5 * MINUTE))
    limited = queue.submit("work", data="limited", repeat=Repeat(times=3, wait=5 * MINUTE))
    plain = queue.submit("work", data="plain", delay=MINUTE)

    queue.submit("work", data="new", repeat=Repeat(wait=5 * MINUTE), cancel_repeats=True)

    assert old.refresh().state is State.CANCELLED
    assert limited.refresh().state is State.READY
    assert plain.refresh().state is State.WAITING
    pass_time(work, clock, installation, 6)
    assert "old" not in work.began
    assert work.began.count("new") == 2


@pytest.mark.parametrize("schedule", ["whenever", "61 * * * *", "every 7 minutes"])
def test_schedule_that_cannot_be_read_is_refused(schedule: str, queue: Queue) -> None:
    with pytest.raises(InvalidData, match="schedule"):
        queue.submit("work", repeat=Repeat(schedule=schedule))
    assert queue.jobs() == []


def test_repeat_with_a_file_must_end_while_the_file_is_kept(queue: Queue) -> None:
    with pytest.raises(InvalidData, match="until"):
        queue.submit("work", body=b"x", repeat=Repeat())


def test_rerun_makes_a_new_job_like_the_old_one(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", data=1, resource="cat", repeat=Repeat(times=0))
    work.off()

    second = first.refresh().rerun(wait=2 * MINUTE)

    assert (second.id != first.id, second.origin_id) == (True, first.id)
    assert (second.data, second.resource, second.repeat) == (1, "cat", None)
    work.off()
    assert work.began == [1]
    pass_time(work, clock, installation, 2)
    assert second.refresh().state is State.COMPLETED


def test_rerun_can_repeat(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", data=1)
    work.off()
    first.rerun(repeat=Repeat(times=1, wait=MINUTE))
    pass_time(work, clock, installation, 3)
    assert work.began == [1, 1, 1]


def test_only_a_completed_job_is_rerun(queue: Queue) -> None:
    with pytest.raises(CommandRefused, match="completed"):
        queue.submit("work").rerun()


def test_same_key_gives_the_same_job(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1, idempotency_key="order 7")
    again = queue.submit("work", data=1, idempotency_key="order 7", priority=10)
    other = queue.submit("work", data=3, idempotency_key="order 8")

    assert again.id == first.id
    assert again.priority == 0
    work.off()
    assert sorted(work.began, key=str) == [1, 3]
    assert queue.submit("work", data=1, idempotency_key="order 7").state is State.COMPLETED
    assert other.id != first.id


def test_key_is_free_again_after_its_window(queue: Queue, clock: FakeClock) -> None:
    first = queue.submit("work", idempotency_key="k", idempotency_window=timedelta(hours=1))
    clock.advance(timedelta(minutes=59))
    assert queue.submit("work", idempotency_key="k").id == first.id
    clock.advance(timedelta(minutes=1))
    assert queue.submit("work", idempotency_key="k").id != first.id


def test_key_of_a_removed_job_is_free_again(queue: Queue, work: Work) -> None:
    first = queue.submit("work", idempotency_key="k")
    work.off()
    first.remove()
    assert queue.submit("work", idempotency_key="k").id != first.id


def test_keys_count_among_many(queue: Queue) -> None:
    keyed = Submission(task="work", idempotency_key="k")
    first, second, third = queue.submit_many([keyed, keyed, Submission(task="work")])
    assert first.id == second.id != third.id


def test_nothing_is_uploaded_under_a_key_that_is_taken(
    queue: Queue, installation: Installation
) -> None:
    queue.submit("work", body=b"photo", idempotency_key="k")
    queue.submit("work", body=b"photo", idempotency_key="k")
    assert len(list(installation.files.keys(Area.INPUT, "jobs/"))) == 1


@pytest.mark.parametrize(
    ("key", "window"), [("", timedelta(days=1)), ("x" * 300, timedelta(days=1)), ("k", timedelta())]
)
def test_key_or_window_without_meaning_is_refused(
    key: str, window: timedelta, queue: Queue
) -> None:
    with pytest.raises(InvalidData, match="idempotency"):
        queue.submit("work", idempotency_key=key, idempotency_window=window)


def test_repeat_and_key_go_together(queue: Queue, work: Work) -> None:
    job = queue.submit("work", repeat=Repeat(times=1), idempotency_key="k")
    work.off()
    assert job.refresh().next_id is not None
