"""Jobs that wait for others, and what the end of the others does to them."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import (
    DependencyEnded,
    InvalidData,
    Job,
    Queue,
    Retry,
    State,
)
from remotejob.domain.ids import new_job_id
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock
from remotejob.worker.messages.handler import ProcessDeath
from tests.jobs.coordination.work import Work, dies

MINUTE = timedelta(minutes=1)


def states(*jobs: Job) -> list[State]:
    return [job.refresh().state for job in jobs]


def test_job_runs_after_all_it_depends_on(queue: Queue, work: Work) -> None:
    first, second = queue.submit("work", data=1), queue.submit("work", data=2)
    last = queue.submit("work", data=3, depends=[first, second.id])
    assert last.state is State.WAITING
    assert last.depends == (first.id, second.id)

    work.step()
    assert states(first, second, last) == [State.COMPLETED, State.COMPLETED, State.WAITING]
    work.off()

    assert last.refresh().state is State.COMPLETED
    assert work.began[-1] == 3


def test_job_that_depends_on_completed_jobs_alone_runs_at_once(queue: Queue, work: Work) -> None:
    first = queue.submit("work")
    work.off()

    last = queue.submit("work", depends=[first])

    assert last.state is State.READY
    work.off()
    assert last.refresh().state is State.COMPLETED


def test_failure_cancels_all_that_depend_on_it_and_says_why(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail")
    second = queue.submit("work", depends=[first])
    third = queue.submit("work", depends=[second])

    work.off()

    assert states(first, second, third) == [State.FAILED, State.CANCELLED, State.CANCELLED]
    assert work.began == ["fail"]
    (failure,) = second.errors
    assert (failure.kind, first.id in failure.message) == ("DependencyFailed", True)
    assert second.record.owed is None
    assert third.record.owed is None


def test_attempts_left_cancel_nobody(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail", retry=Retry(max_attempts=2))
    second = queue.submit("work", depends=[first])

    work.off()

    assert states(first, second) == [State.WAITING, State.WAITING]


def test_cancelling_a_job_cancels_those_that_depend_on_it(queue: Queue, work: Work) -> None:
    first = queue.submit("work")
    second = queue.submit("work", depends=[first])

    first.cancel()

    assert states(first, second) == [State.CANCELLED, State.CANCELLED]
    work.off()
    assert work.began == []


def test_cancel_takes_its_antecedents_along_when_asked_to(queue: Queue) -> None:
    first, other = queue.submit("work"), queue.submit("work")
    second = queue.submit("work", depends=[first])
    queue.submit("work", depends=[second]).cancel()
    assert states(first, second) == [State.READY, State.WAITING]

    queue.submit("work", depends=[second]).cancel(antecedents=True)

    assert states(first, second, other) == [State.CANCELLED, State.CANCELLED, State.READY]


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_job_cannot_depend_on_one_that_will_never_complete(
    end: str, queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data="fail")
    if end == "cancel":
        first.cancel()
    work.off()
    before = len(queue.jobs())

    with pytest.raises(DependencyEnded, match=f"{first.id}: it is {first.refresh().state}"):
        queue.submit("work", depends=[first])
    assert len(queue.jobs()) == before


def test_job_cannot_depend_on_one_that_is_not_there(
    queue: Queue, installation: Installation
) -> None:
    unknown = new_job_id(installation.clock.now_ms(), installation.entropy)
    with pytest.raises(DependencyEnded, match="no such job") as refusal:
        queue.submit("work", depends=[unknown])
    # there is nothing to restart
    assert "restart" not in str(refusal.value)


@pytest.mark.parametrize("wrong", [["no id"], "01KF0RDQG0F3FM7S0K2SXEHTSQ"])
def test_what_is_no_list_of_ids_is_refused(wrong: list[str], queue: Queue) -> None:
    with pytest.raises(InvalidData, match="depends"):
        queue.submit("work", depends=wrong)


def test_dependent_that_is_paused_waits_for_both(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first]).pause()

    work.off()
    assert states(first, second) == [State.COMPLETED, State.PAUSED]

    second.resume()
    work.off()
    assert second.refresh().state is State.COMPLETED


def test_resumed_dependent_still_waits_for_its_antecedent(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail", retry=Retry(max_attempts=2))
    second = queue.submit("work", data=2, depends=[first]).pause().resume()
    work.off()
    assert second.refresh().state is State.WAITING
    assert work.began == ["fail"]


def test_dependent_is_due_no_earlier_than_it_was(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first], delay=10 * MINUTE)
    work.off()
    assert second.refresh().state is State.WAITING

    clock.advance(10 * MINUTE)
    work.off()
    assert second.refresh().state is State.COMPLETED


def test_completion_can_delay_the_dependents(queue: Queue, work: Work, clock: FakeClock) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    work.while_running[1] = lambda: Completion(result="first", delay_dependents=5 * MINUTE)
    work.off()
    assert first.refresh().result == "first"
    assert second.refresh().state is State.WAITING

    clock.advance(5 * MINUTE)
    work.off()
    assert second.refresh().state is State.COMPLETED


def test_restart_waits_for_the_antecedent_again(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail")
    second = queue.submit("work", data=2, depends=[first])
    work.off()

    second.restart()

    assert states(first, second) == [State.WAITING, State.WAITING]
    work.off()
    assert states(first, second) == [State.FAILED, State.CANCELLED]


def test_restart_without_its_antecedents_is_refused_while_one_has_failed(
    queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data="fail")
    second = queue.submit("work", depends=[first])
    work.off()

    with pytest.raises(DependencyEnded, match=first.id):
        second.restart(antecedents=False)
    assert second.refresh().state is State.CANCELLED


def test_restart_takes_the_dependents_along_when_asked_to(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    third = queue.submit("work", data=3, depends=[second])
    first.cancel()
    first.restart()
    assert states(first, second, third) == [State.WAITING, State.CANCELLED, State.CANCELLED]
    first.cancel()

    first.restart(dependents=True)
    work.off()

    assert states(first, second, third) == [State.COMPLETED] * 3
    assert work.began == [1, 2, 3]


def test_job_made_independent_runs_whatever_happens_to_the_other(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail", delay=MINUTE)
    second = queue.submit("work", data=2, depends=[first])

    second.make_ready(independent=True)
    work.off()

    assert states(first, second) == [State.WAITING, State.COMPLETED]
    first.make_ready()
    work.off()
    assert states(first, second) == [State.FAILED, State.COMPLETED]


def test_ready_alone_does_not_make_it_independent(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1, delay=10 * MINUTE)
    second = queue.submit("work", data=2, depends=[first], delay=20 * MINUTE).make_ready()
    work.off()
    assert work.began == []
    assert second.refresh().depends == (first.id,)
    first.make_ready()
    work.off()
    assert work.began == [1, 2]
    assert second.refresh().state is State.COMPLETED


def test_scheduler_finds_a_dependent_that_nobody_released(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """The worker dies right after its commit, and the message is lost with it."""
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    (message,) = work.worker.receive()
    work.worker.handler.attend(message)
    installation.messages.delete(message.address, [message.receipt])
    assert states(first, second) == [State.COMPLETED, State.WAITING]

    clock.advance(10 * MINUTE)
    tick(installation)
    work.off()

    assert second.refresh().state is State.COMPLETED


def test_poison_cancels_what_depends_on_it(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", data="poison")
    second = queue.submit("work", depends=[first])
    for _ in range(4):
        work.while_running["poison"] = dies
        with suppress(ProcessDeath):
            work.off()
        clock.advance(timedelta(seconds=70))
    work.off()
    assert states(first, second) == [State.FAILED, State.CANCELLED]
