"""Jobs that are paused from their first write on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Queue, RemoteJob, Repeat, State, Submission
from remotejob.domain.events import Event
from remotejob.domain.marks import Attention
from remotejob.hooks import Hooks
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from tests.jobs.coordination.work import Work

MINUTE = timedelta(minutes=1)


def pass_time(work: Work, clock: FakeClock, installation: Installation, *, minutes: int) -> None:
    for _ in range(minutes):
        clock.advance(MINUTE)
        tick(installation)
        work.off()


def test_it_waits_for_resume_without_message_or_look(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation, hooks: Hooks
) -> None:
    told: list[str] = []
    for event in (Event.CREATED, Event.STAGED):
        hooks.on(event, lambda one: told.append(one.event))

    job = queue.submit("work", data=1, paused=True)

    assert job.state is State.PAUSED
    assert told == [Event.CREATED]
    assert (job.record.attention or "").startswith(Attention.PAUSED)
    pass_time(work, clock, installation, minutes=30)
    assert work.began == []
    assert [one.id for one in queue.jobs(state=State.PAUSED)] == [job.id]

    job.resume()
    work.off()
    assert told == [Event.CREATED, Event.STAGED]
    assert job.refresh().state is State.COMPLETED


def test_a_delay_counts_from_the_submit(queue: Queue, work: Work, clock: FakeClock) -> None:
    job = queue.submit("work", delay=10 * MINUTE, paused=True)
    due = job.due_at
    clock.advance(4 * MINUTE)
    assert job.resume().due_at == due
    work.off()
    assert job.refresh().state is State.WAITING
    clock.advance(6 * MINUTE)
    work.off()
    assert job.refresh().state is State.COMPLETED


@pytest.mark.parametrize("resumed_first", [True, False])
def test_it_waits_for_others_too(
    resumed_first: bool,  # noqa: FBT001
    queue: Queue,
    work: Work,
) -> None:
    first = queue.submit("work", data=1)
    job = queue.submit("work", data=2, depends=[first], paused=True)
    assert job.state is State.PAUSED
    if resumed_first:
        job.resume()
    work.off()
    if not resumed_first:
        assert job.refresh().state is State.PAUSED
        job.resume()
        work.off()
    assert work.began == [1, 2]


def test_it_is_cancelled_with_what_it_depends_on(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail")
    job = queue.submit("work", depends=[first], paused=True)
    work.off()
    assert job.refresh().state is State.CANCELLED


def test_its_key_finds_it(queue: Queue) -> None:
    job = queue.submit("work", idempotency_key="k", paused=True)
    assert queue.submit("work", idempotency_key="k").id == job.id
    assert job.refresh().state is State.PAUSED


def test_its_repeats_are_not_paused(queue: Queue, work: Work) -> None:
    job = queue.submit("work", repeat=Repeat(times=1), paused=True).resume()
    work.off()
    again = job.refresh().next_job()
    assert again is not None
    assert again.state is State.WAITING


def test_one_that_repeats_for_ever_takes_the_place_of_the_others(queue: Queue, work: Work) -> None:
    before = queue.submit("work", repeat=Repeat())
    job = queue.submit("work", repeat=Repeat(), paused=True, cancel_repeats=True)
    assert (before.refresh().state, job.state) == (State.CANCELLED, State.PAUSED)


def test_of_many_some_may_be_paused(queue: Queue, work: Work) -> None:
    one, other = queue.submit_many([Submission("work", paused=True), Submission("work")])
    work.off()
    assert [one.refresh().state, other.refresh().state] == [State.PAUSED, State.COMPLETED]


def test_a_draft_is_paused_before_it_is_saved(queue: Queue, work: Work) -> None:
    draft = queue.new_job("work").pause()
    assert draft.save().state is State.PAUSED
    assert draft.resume().save().state is State.READY


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_what_is_no_flag_is_refused(wrong: Any, queue: Queue) -> None:
    with pytest.raises(InvalidData, match="paused"):
        queue.submit("work", paused=wrong)


def test_it_may_be_cancelled_and_removed(queue: Queue, remote: RemoteJob) -> None:
    job = queue.submit("work", paused=True)
    assert job.cancel().state is State.CANCELLED
    remote.remove_jobs([job])
    assert queue.jobs() == []
