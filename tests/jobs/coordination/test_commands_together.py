"""Commands to jobs that hang together: chains, diamonds, and what is gone of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import (
    CommandRefused,
    DependencyEnded,
    InvalidData,
    Job,
    Queue,
    RemoteJob,
    State,
    StillRunning,
    Submission,
)
from remotejob.domain.events import CommandEvent, Event
from remotejob.hooks import Hooks, JobEvent
from remotejob.ports import Address, Area, Channel, Installation
from remotejob.testing import FakeClock, memory_installation
from remotejob.worker.messages.handler import ProcessDeath
from tests.jobs.coordination.work import Work, dies

MINUTE = timedelta(minutes=1)
LONG = 1_200
"""Jobs in a chain: more than Python calls into one another."""


def states(*jobs: Job) -> list[State]:
    return [job.refresh().state for job in jobs]


def told(channel: Channel, installation: Installation) -> int:
    """How many status messages there are."""
    return installation.messages.depth(Address("default", channel)).visible


def diamond(queue: Queue) -> list[Job]:
    """Four jobs: the second and third wait for the first, the last for both."""
    first = queue.submit("work", data=1)
    second, third = (queue.submit("work", data=n, depends=[first]) for n in (2, 3))
    return [first, second, third, queue.submit("work", data=4, depends=[second, third])]


def chain(queue: Queue, length: int) -> list[Job]:
    """Jobs that wait for one another, in order."""
    jobs = [queue.submit("work")]
    while len(jobs) < length:
        jobs.append(queue.submit("work", depends=[jobs[-1]]))
    return jobs


def winding_down(queue: Queue, work: Work, *, resource: str | None = None) -> Job:
    """A job that was cancelled, and whose worker died over it: its lease is not over."""
    job = queue.submit("work", data="long", resource=resource)

    def cancelled() -> object:
        job.cancel()
        return dies()

    work.while_running["long"] = cancelled
    with suppress(ProcessDeath):
        work.off()
    assert job.refresh().state is State.CANCELLED
    return job


def test_restart_takes_all_of_a_diamond_along(queue: Queue, work: Work) -> None:
    jobs = diamond(queue)
    jobs[0].cancel()
    assert states(*jobs) == [State.CANCELLED] * 4

    jobs[0].restart(dependents=True)

    assert states(*jobs) == [State.WAITING] * 4
    work.off()
    assert states(*jobs) == [State.COMPLETED] * 4
    assert (work.began[0], work.began[-1]) == (1, 4)


@pytest.mark.parametrize("order", ["as they run", "turned"])
def test_restart_of_dependents_goes_by_what_they_wait_for(
    order: str, queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    third = queue.submit("work", data=3, depends=[second])
    both = [third, first] if order == "turned" else [first, third]
    last = queue.submit("work", data=4, depends=both)
    first.cancel()

    first.restart(dependents=True, antecedents=False)

    work.off()
    assert work.began == [1, 2, 3, 4]
    assert states(first, second, third, last) == [State.COMPLETED] * 4


@pytest.mark.parametrize("order", ["as they run", "turned"])
def test_restart_of_antecedents_begins_with_the_deepest(
    order: str, queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    last = queue.submit(
        "work", data=3, depends=[second, first] if order == "turned" else [first, second]
    )
    first.cancel()

    last.restart()

    assert states(first, second, last) == [State.WAITING] * 3
    work.off()
    assert work.began == [1, 2, 3]


def test_cancel_takes_every_antecedent_along_whatever_the_cascade_took(queue: Queue) -> None:
    first, other = queue.submit("work"), queue.submit("work")
    second = queue.submit("work", depends=[first, other])
    last = queue.submit("work", depends=[second, first])

    last.cancel(antecedents=True)

    assert states(first, second, other, last) == [State.CANCELLED] * 4


@pytest.mark.parametrize("command", ["cancel", "dependents", "antecedents"])
def test_commands_reach_the_end_of_a_long_chain(command: str) -> None:
    queue = RemoteJob(memory_installation(FakeClock())).queue()
    jobs = chain(queue, LONG)
    if command == "cancel":
        jobs[-1].cancel(antecedents=True)
        assert set(states(*jobs)) == {State.CANCELLED}
        return
    jobs[0].cancel()
    assert set(states(*jobs)) == {State.CANCELLED}
    if command == "dependents":
        jobs[0].restart(dependents=True)
    else:
        jobs[-1].restart()
    assert set(states(*jobs)) == {State.WAITING}


def test_dependents_can_be_restarted_without_their_other_antecedents(
    queue: Queue,
) -> None:
    first, other = queue.submit("work"), queue.submit("work")
    both = queue.submit("work", depends=[first, other])
    one = queue.submit("work", depends=[first])
    first.cancel()
    other.cancel()

    with pytest.raises(DependencyEnded, match=f"{other.id}: it is cancelled"):
        first.restart(antecedents=False, dependents=True)

    assert states(first, other, both, one) == [
        State.WAITING,
        State.CANCELLED,
        State.CANCELLED,
        State.WAITING,
    ]


def test_dependents_are_restarted_with_their_other_antecedents(queue: Queue, work: Work) -> None:
    first, other = queue.submit("work"), queue.submit("work")
    both = queue.submit("work", depends=[first, other])
    first.cancel()
    other.cancel()

    first.restart(dependents=True)

    work.off()
    assert states(first, other, both) == [State.COMPLETED] * 3


def test_dependent_that_was_cancelled_by_hand_is_not_restarted(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    first = queue.submit("work", data=1)
    by_hand, again, along = (queue.submit("work", data=n, depends=[first]) for n in (2, 3, 4))
    by_hand.cancel()
    first.cancel()
    first.restart(dependents=True)
    clock.advance(MINUTE)
    # it was cancelled with the other, but that was another time
    again.cancel()
    first.cancel()

    first.restart(dependents=True)

    assert states(by_hand, again, along) == [State.CANCELLED, State.CANCELLED, State.WAITING]
    work.off()
    assert work.began == [1, 4]


def test_jobs_that_share_a_failed_antecedent_are_restarted_together(
    remote: RemoteJob, queue: Queue, work: Work
) -> None:
    first = queue.submit("work", data="fail")
    jobs = [queue.submit("work", depends=[first]) for _ in range(6)]
    work.off()

    commanded = remote.restart_jobs([*jobs, first])

    assert dict(commanded.refused) == {}
    assert {job.id for job in commanded.done} == {job.id for job in [*jobs, first]}
    assert states(first, *jobs) == [State.WAITING] * 7


def test_dependents_that_a_cascade_cancels_first_count_as_cancelled(
    remote: RemoteJob, queue: Queue
) -> None:
    first = queue.submit("work")
    jobs = [first, *(queue.submit("work", depends=[first]) for _ in range(20))]
    before = queue.submit("work").cancel()

    commanded = remote.cancel_jobs([*jobs, before])

    assert {job.id for job in commanded.done} == {job.id for job in jobs}
    assert {job.state for job in commanded.done} == {State.CANCELLED}
    assert list(commanded.refused) == [before.id]
    assert isinstance(commanded.refused[before.id], CommandRefused)


def test_job_that_completed_is_no_cancelled_one(
    remote: RemoteJob, queue: Queue, work: Work
) -> None:
    job = queue.submit("work")
    work.off()
    assert list(remote.cancel_jobs([job]).refused) == [job.id]
    assert list(remote.restart_jobs([job]).refused) == [job.id]


def test_job_restarts_though_what_it_ran_after_was_removed(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1)
    second = queue.submit("work", data="fail", depends=[first])
    work.off()
    first.remove()

    second.restart()

    assert second.record.blocked is None
    assert second.depends == (first.id,)
    work.off()
    assert work.began == [1, "fail", "fail"]


def test_job_restarts_and_waits_for_that_alone_which_did_not_complete(
    queue: Queue, work: Work
) -> None:
    first, second = queue.submit("work", data=1), queue.submit("work", data="fail")
    last = queue.submit("work", data=3, depends=[first, second])
    work.off()
    assert states(first, second, last) == [State.COMPLETED, State.FAILED, State.CANCELLED]
    first.remove()

    with pytest.raises(DependencyEnded, match=f"{second.id}: it is failed"):
        last.restart(antecedents=False)
    last.restart()

    assert last.record.blocked == frozenset({second.id})
    assert states(second, last) == [State.WAITING, State.WAITING]
    assert last.depends == (first.id, second.id)


def test_job_whose_failed_antecedent_was_removed_cannot_restart(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data="fail")
    second = queue.submit("work", depends=[first])
    work.off()
    first.remove()
    with pytest.raises(DependencyEnded, match="no such job"):
        second.restart()


def test_job_is_not_removed_while_its_cancelled_run_winds_down(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    job = winding_down(queue, work)

    with pytest.raises(StillRunning):
        job.remove()
    # a lease is over only when it is by the slowest clock
    clock.advance(timedelta(milliseconds=(job.record.lease_ms or 0) - clock.now_ms() + 1_999))
    with pytest.raises(StillRunning):
        job.remove()
    clock.advance(timedelta(milliseconds=1))
    job.remove()
    assert queue.jobs() == []


@pytest.mark.parametrize("command", ["restart", "remove"])
def test_status_is_not_sent_again_at_each_try_while_a_run_winds_down(
    command: str, queue: Queue, work: Work, installation: Installation
) -> None:
    job = winding_down(queue, work, resource="cat.jpg")
    before = told(Channel.FAILED, installation)

    for _ in range(3):
        with pytest.raises(StillRunning):
            getattr(job, command)()

    assert told(Channel.FAILED, installation) == before


def test_a_job_that_completed_long_ago_notifies_nobody_again(
    remote: RemoteJob,
    queue: Queue,
    work: Work,
    clock: FakeClock,
    installation: Installation,
    hooks: Hooks,
) -> None:
    completed: list[JobEvent] = []
    hooks.on(Event.COMPLETED, completed.append)
    first = queue.submit("work", resource="cat.jpg")
    jobs = [first, queue.submit("work", depends=[first])]
    work.off()
    assert (told(Channel.COMPLETED, installation), len(completed)) == (2, 2)
    clock.advance(timedelta(hours=2))

    assert len(remote.remove_jobs(jobs).done) == 2

    assert (told(Channel.COMPLETED, installation), len(completed)) == (2, 2)


@pytest.mark.parametrize("later", [MINUTE, timedelta(hours=2)])
def test_owed_consequences_are_carried_out_before_a_completed_job_is_removed(
    later: timedelta, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """The worker dies right after its commit."""
    first = queue.submit("work", data=1)
    second = queue.submit("work", data=2, depends=[first])
    (message,) = work.worker.receive()
    work.worker.handler.attend(message)
    installation.messages.delete(message.address, [message.receipt])
    assert states(first, second) == [State.COMPLETED, State.WAITING]
    clock.advance(later)

    first.remove()

    work.off()
    assert second.refresh().state is State.COMPLETED
    assert told(Channel.COMPLETED, installation) == 2


@pytest.mark.parametrize("submit", ["submit", "submit_many"])
def test_key_of_a_job_that_ended_sends_for_nothing(
    submit: str, queue: Queue, work: Work, installation: Installation, hooks: Hooks
) -> None:
    job = queue.submit("work", idempotency_key="k")
    work.off()
    staged: list[JobEvent] = []
    hooks.on(Event.STAGED, staged.append)

    if submit == "submit_many":
        (again,) = queue.submit_many([Submission(task="work", idempotency_key="k")])
    else:
        again = queue.submit("work", idempotency_key="k")

    assert again.id == job.id
    assert staged == []
    assert work.worker.receive() == []
    assert told(Channel.COMPLETED, installation) == 1


def test_key_cannot_outlive_its_job(queue: Queue, installation: Installation) -> None:
    longest = installation.retention
    with pytest.raises(InvalidData, match="retention_days"):
        queue.submit("work", idempotency_key="k", idempotency_window=longest + timedelta(seconds=1))
    queue.submit("work", idempotency_key="k", idempotency_window=longest)


@pytest.mark.parametrize("what", ["body", "data"])
def test_rerun_beyond_what_is_kept_is_refused_as_a_submit_is(
    what: str, queue: Queue, work: Work, installation: Installation
) -> None:
    if what == "body":
        job = queue.submit("work", body=b"photo")
    else:
        job = queue.submit("work", data="x" * 10_000)
    work.off()
    files = set(installation.files.keys(Area.INPUT, ""))
    wait = installation.retention + timedelta(days=1)

    with pytest.raises(InvalidData, match="inputs are kept for"):
        job.rerun(wait=wait)

    assert set(installation.files.keys(Area.INPUT, "")) == files
    assert len(queue.jobs()) == 1
    plain = queue.submit("work")
    work.off()
    assert plain.rerun(wait=wait).state is State.WAITING


@pytest.mark.parametrize("data", [None, "x" * 10_000])
def test_no_file_is_stored_for_a_job_whose_antecedent_failed(
    data: str | None, queue: Queue, work: Work, installation: Installation
) -> None:
    first = queue.submit("work", data="fail")
    work.off()
    body = b"photo" if data is None else None
    with pytest.raises(DependencyEnded, match=first.id):
        queue.submit("work", data=data, body=body, depends=[first])
    assert list(installation.files.keys(Area.INPUT, "")) == []


def test_replay_notifies_once(
    queue: Queue, work: Work, installation: Installation, hooks: Hooks
) -> None:
    calls: list[CommandEvent] = []
    errors: list[CommandEvent] = []
    job = queue.submit("work")
    hooks.on(Event.CALL, calls.append)
    hooks.on(Event.ERROR, errors.append)

    with pytest.raises(CommandRefused):
        job.replay()
    work.off()
    job.replay()

    assert [one.command for one in calls].count("replay") == 1
    assert [one.command for one in errors] == ["replay"]
