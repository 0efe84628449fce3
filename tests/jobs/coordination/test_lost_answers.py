"""What follows from the end of a job goes on, also when the answer to a step of it was lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from remotejob import Job, Queue, RemoteJob, State, Submission
from remotejob.domain.transactions import Erase, record_key
from remotejob.jobs.coordination.consequences import carry_out
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted
from tests.jobs.coordination.work import Meanwhile, Work
from tests.lost_answers import Lost, LostAnswer

EITHER = pytest.mark.parametrize("lost", [Lost.SENT_AGAIN, Lost.ERROR], ids=["sent again", "error"])
MINUTE = timedelta(minutes=1)
FAILED = Address("default", Channel.FAILED)


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


def losing(work: Work, answer: LostAnswer) -> Simulation:
    installation = intercepted(work.worker.installation, answer)
    return Simulation(installation=installation, tasks=work.worker.tasks, worker="losing")


def failures_sent(installation: Installation) -> int:
    depth = installation.messages.depth(FAILED)
    return depth.visible + depth.hidden + depth.delayed


def pass_time(work: Work, clock: FakeClock, *, minutes: int = 12) -> None:
    for _ in range(minutes):
        work.off()
        clock.advance(MINUTE)
        tick(work.worker.installation)
    work.off()


def completed_once(work: Work, *jobs: Job) -> None:
    assert {job.refresh().state for job in jobs} == {State.COMPLETED}
    assert [job.attempt for job in jobs] == [1] * len(jobs)
    assert sorted(map(str, work.began)) == sorted(str(job.data) for job in jobs)


# Dependents


@EITHER
@pytest.mark.parametrize("delay", [3 * MINUTE, None], ids=["due later", "due"])
def test_dependent_whose_release_was_not_answered_runs_once(
    queue: Queue, work: Work, clock: FakeClock, lost: Lost, delay: timedelta | None
) -> None:
    first = queue.submit("work", data="first")
    dependent = queue.submit("work", data="then", depends=[first], delay=delay)
    answer = LostAnswer("release_later" if delay is None else "release_waiting", lost)

    losing(work, answer).step()

    assert answer.happened
    if lost is Lost.SENT_AGAIN and delay is None:
        work.off()
        assert dependent.refresh().state is State.COMPLETED, "it was sent for at once"
    pass_time(work, clock)
    completed_once(work, first, dependent)


@EITHER
def test_paused_dependent_whose_release_was_not_answered_runs_once_when_it_is_resumed(
    queue: Queue, work: Work, clock: FakeClock, lost: Lost
) -> None:
    first = queue.submit("work", data="first")
    dependent = queue.submit("work", data="then", depends=[first]).pause()
    answer = LostAnswer("release_paused", lost)

    losing(work, answer).step()
    assert answer.happened
    pass_time(work, clock)
    assert dependent.refresh().state is State.PAUSED
    dependent.resume()
    pass_time(work, clock)

    completed_once(work, first, dependent)


@EITHER
def test_edge_whose_end_was_not_answered_releases_its_dependent_once(
    queue: Queue, work: Work, clock: FakeClock, lost: Lost
) -> None:
    first = queue.submit("work", data="first")
    dependent = queue.submit("work", data="then", depends=[first])
    answer = LostAnswer("same_token", lost)

    losing(work, answer).step()

    assert answer.happened
    pass_time(work, clock)
    completed_once(work, first, dependent)


@EITHER
@pytest.mark.parametrize("kind", ["cascade", "owed_by_run"])
def test_dependent_whose_cancelling_was_not_answered_ends_and_is_reported(
    queue: Queue,
    work: Work,
    clock: FakeClock,
    installation: Installation,
    lost: Lost,
    kind: str,
) -> None:
    first = queue.submit("work", data="fail")
    dependent = queue.submit("work", data="then", depends=[first])
    last = queue.submit("work", data="last", depends=[dependent])
    answer = LostAnswer(kind, lost)

    losing(work, answer).step()

    assert answer.happened
    pass_time(work, clock)
    states = [job.refresh().state for job in (first, dependent, last)]
    assert states == [State.FAILED, State.CANCELLED, State.CANCELLED]
    assert [job.record.owed for job in (first, dependent, last)] == [None] * 3
    assert failures_sent(installation) >= 3
    assert work.began == ["fail"]


@EITHER
@pytest.mark.parametrize("key", [None, "once"], ids=["no key", "a key"])
def test_dependent_whose_submission_was_not_answered_is_stored_once(
    queue: Queue, work: Work, clock: FakeClock, lost: Lost, key: str | None
) -> None:
    first = queue.submit("work", data="first")
    answer = LostAnswer("not_ended", lost)
    system = intercepted(work.worker.installation, answer)
    other = RemoteJob(system).queue()

    def submit() -> Job:
        return other.submit("work", data="then", depends=[first], idempotency_key=key)

    if lost is Lost.SENT_AGAIN:
        dependent = submit()
    elif key is None:
        with pytest.raises(ConnectionError):
            submit()
        (dependent,) = [job for job in queue.jobs() if job.data == "then"]
    else:
        with pytest.raises(ConnectionError):
            submit()
        # the caller tries again
        dependent = submit()

    assert answer.happened
    pass_time(work, clock)
    completed_once(work, first, dependent)
    assert len(list(queue.jobs())) == 2


@pytest.mark.parametrize("data", ["first", "fail"], ids=["release", "cancel"])
def test_dependent_that_could_not_be_changed_is_seen_to_when_the_message_comes_back(
    queue: Queue, work: Work, clock: FakeClock, data: str
) -> None:
    """The message of the ended job stays until all of its dependents are handled."""
    first = queue.submit("work", data=data)
    dependents = [queue.submit("work", data=number, depends=[first]) for number in range(2)]
    answer = LostAnswer("release_later" if data == "first" else "cascade", Lost.REFUSED)

    losing(work, answer).step()

    assert answer.happened
    clock.advance(2 * MINUTE)
    work.off()
    ends = {State.COMPLETED} if data == "first" else {State.CANCELLED}
    assert {job.refresh().state for job in dependents} == ends
    assert first.refresh().record.owed is None


def test_end_carried_out_late_cancels_no_job_that_joined_after_the_restart(
    queue: Queue, work: Work, installation: Installation, clock: FakeClock
) -> None:
    """Two carry out the end; the later of them comes when the job will run again."""
    first = queue.submit("work", data="fail")
    queue.submit("work", data="cancelled with it", depends=[first])
    work.off()
    ended = first.refresh().record
    assert ended.dependents
    clock.advance(MINUTE)
    first.restart()
    dependent = queue.submit("work", data="then", depends=[first])

    carry_out([ended], installation)

    assert dependent.refresh().state is State.WAITING


def test_job_made_independent_is_not_cancelled_by_the_end_it_no_longer_waits_for(
    queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data="fail")
    dependent = queue.submit("work", data="then", depends=[first])
    dependent.make_ready(at=datetime(2030, 1, 1, tzinfo=UTC), independent=True)
    work.off()

    assert dependent.refresh().state is State.WAITING
    assert first.refresh().record.owed is None, "nothing of its end is left to do"


def test_job_whose_antecedent_is_gone_is_cancelled_by_the_scheduler(
    queue: Queue, work: Work, installation: Installation, clock: FakeClock
) -> None:
    """Its record expired, and whoever should have cancelled its dependents had died."""
    first = queue.submit("work", data="first", delay=timedelta(days=1))
    dependent = queue.submit("work", data="then", depends=[first])
    installation.store.transact([Erase(key=record_key(first.id))])

    pass_time(work, clock)

    assert dependent.refresh().state is State.CANCELLED
    assert "no longer exists" in dependent.errors[-1].message


# Locks


@EITHER
@pytest.mark.parametrize("kind", ["park", "unpark", "same_holder"])
def test_jobs_of_a_lock_run_once_each_though_a_step_was_not_answered(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation, lost: Lost, kind: str
) -> None:
    first = queue.submit("work", data=1, resource="cat.jpg")
    answer = LostAnswer(kind, lost)
    seconds: list[Job] = []

    def meanwhile() -> None:
        seconds.append(queue.submit("work", data=2, resource="cat.jpg"))
        try:
            Simulation(
                installation=intercepted(installation, answer), tasks=work.worker.tasks, worker="b"
            ).step()
        except ConnectionError:
            assert lost is Lost.ERROR

    work.while_running[1] = meanwhile
    losing(work, answer).step()

    assert answer.happened
    pass_time(work, clock, minutes=25)
    completed_once(work, first, *seconds)
    assert list(installation.store.items("resource#cat.jpg", "lock#")) == []
    assert list(installation.store.items("resource#cat.jpg", "waiter#")) == []


def test_lock_that_could_not_be_freed_is_freed_when_the_message_comes_back(
    queue: Queue, work: Work, installation: Installation, clock: FakeClock
) -> None:
    """Also where the job's other consequences were carried out."""
    first = queue.submit("work", data="first", resource="cat.jpg")
    dependent = queue.submit("work", data="then", depends=[first])
    answer = LostAnswer("same_holder", Lost.REFUSED)

    losing(work, answer).step()

    assert answer.happened
    clock.advance(2 * MINUTE)
    work.off()
    assert list(installation.store.items("resource#cat.jpg", "lock#")) == []
    completed_once(work, first, dependent)


# Batches


@EITHER
@pytest.mark.parametrize("kind", ["counted_once", "follows_waiting"])
def test_batch_counts_each_end_once_and_is_followed_once_though_a_step_was_not_answered(
    queue: Queue, work: Work, clock: FakeClock, lost: Lost, kind: str
) -> None:
    children = [Submission(task="work", data=number) for number in range(3)]
    batch = queue.map("work", children, on_complete="work")
    answer = LostAnswer(kind, lost)

    losing(work, answer).step()

    assert answer.happened
    if lost is Lost.SENT_AGAIN:
        work.off()
        follower = batch.refresh().on_complete
        assert follower is not None
        assert follower.refresh().state is State.COMPLETED, "it was sent for at once"
    pass_time(work, clock)
    batch.refresh()
    assert (batch.counts.completed, batch.counts.total) == (3, 3)
    assert len(work.began) == 4
    assert len(list(queue.jobs())) == 4


def test_child_that_could_not_be_counted_is_counted_when_its_message_comes_back(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    batch = queue.map("work", [Submission(task="work", data=1)], on_complete="work")
    answer = LostAnswer("counted_once", Lost.REFUSED)

    losing(work, answer).step()

    assert answer.happened
    assert batch.refresh().counts.completed == 0
    clock.advance(2 * MINUTE)
    work.off()
    assert batch.refresh().counts.completed == 1
    assert len(work.began) == 2


def test_children_that_end_together_are_counted_once_each_though_one_was_counted_meanwhile(
    queue: Queue, work: Work, installation: Installation
) -> None:
    batch = queue.map("work", [Submission(task="work", data=number) for number in range(3)])
    others = Meanwhile()

    def one_is_counted(_: object) -> None:
        """By whoever received its message a second time."""
        (child, *_) = batch.children(State.COMPLETED)
        carry_out([child.record], installation)

    others.before["store.transact"] = one_is_counted
    Simulation(installation=intercepted(installation, others), tasks=work.worker.tasks).step()

    counts = batch.refresh().counts
    assert (counts.completed, counts.left) == (3, 0)
    assert [child.record.owed for child in batch.children()] == [None] * 3


def test_restart_of_a_child_that_was_not_answered_takes_its_end_off_once(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    batch = queue.map("work", [Submission(task="work", data="fail")])
    work.off()
    (child,) = batch.children()
    answer = LostAnswer("restart_counted", Lost.ERROR)
    system = intercepted(work.worker.installation, answer)
    again = RemoteJob(system).job(child.id)
    with pytest.raises(ConnectionError):
        again.restart()

    pass_time(work, clock)
    batch.refresh()
    assert (batch.counts.failed, batch.counts.total) == (1, 1)
    assert len(work.began) == 2
