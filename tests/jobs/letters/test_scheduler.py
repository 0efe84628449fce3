"""The scheduler reads dead letters: no job stays behind because its message was given up."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from remotejob import Job, Queue, RemoteJob, Repeat, State
from remotejob.domain.given_up import GIVEN_UP, GIVEN_UP_BUDGET
from remotejob.domain.transactions import put_record
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.scheduler.dead_letters import (
    EVERY,
    MOST_KEPT,
    queues_in_turn,
    read_dead_letters,
)
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.runs.run import Run
from tests.jobs.letters.letters import (
    DEAD,
    HOUR,
    MINUTE,
    NORMAL,
    NOTHING,
    give_up,
    letters,
    set_aside,
    take_messages,
    ticks,
)


@pytest.fixture
def worker(worker: Simulation) -> Simulation:
    worker.tasks.task("work")(lambda job: "done")
    return worker


@pytest.fixture
def job(queue: Queue) -> Job:
    return queue.submit("work")


def test_job_whose_message_was_given_up_gets_another_and_says_why(
    job: Job, installation: Installation, worker: Simulation, clock: FakeClock
) -> None:
    give_up(job, installation)

    assert ticks(installation, clock) == {"letters sent again": 1}

    assert letters(installation) == []
    (note,) = job.refresh().errors
    assert (note.kind, job.record.given_up) == (GIVEN_UP, 1)
    assert "given up (1 of 5 that may be)" in note.message
    assert "received" in note.message
    worker.step()
    assert job.refresh().result == "done"


def test_job_whose_last_time_to_begin_is_over_is_failed_and_gets_no_other_message(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    job = queue.submit("work", expires=MINUTE)
    give_up(job, installation)

    assert ticks(installation, clock) == {"jobs given up": 1}

    assert (letters(installation), take_messages(installation)) == ([], [])
    assert (job.refresh().state, job.errors[-1].kind) == (State.FAILED, "JobExpired")


def test_message_that_sqs_moves_after_too_many_receives_is_found(clock: FakeClock) -> None:
    """By the queue's own rule, from its lane."""
    installation = memory_installation(clock)
    job = RemoteJob(installation).queue().submit("work")
    for _ in range(1000):
        (message,) = installation.messages.receive(NORMAL, limit=1, wait=NOTHING, hidden=HOUR)
        installation.messages.hide(NORMAL, [message.receipt], NOTHING)
    assert installation.messages.receive(NORMAL, limit=1, wait=NOTHING, hidden=HOUR) == []

    assert ticks(installation, clock) == {"letters sent again": 1}
    assert len(take_messages(installation)) == 1
    assert job.refresh().record.given_up == 1


def test_job_whose_messages_are_given_up_again_and_again_is_failed_with_the_reason(
    job: Job, installation: Installation, clock: FakeClock
) -> None:
    for number in range(GIVEN_UP_BUDGET):
        give_up(job, installation)
        assert ticks(installation, clock) == {"letters sent again": 1}
        assert job.refresh().record.given_up == number + 1
        clock.advance(timedelta(hours=16))
    give_up(job, installation)

    assert ticks(installation, clock) == {"jobs given up": 1}

    assert job.refresh().state is State.FAILED
    (error,) = job.errors
    assert error.kind == GIVEN_UP
    assert "6 messages of this job were given up, and no worker ran it" in error.message
    assert job.record.owed is None
    assert (letters(installation), take_messages(installation)) == ([], [])
    failed = Address("default", Channel.FAILED)
    assert json.loads(letters(installation, failed)[0].body)["id"] == job.id
    again = job.restart()
    assert again.record.given_up == 0


def test_repeating_job_that_is_given_up_has_its_successor(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    job = queue.submit("work", repeat=Repeat(wait=HOUR))
    spent = replace(job.record, given_up=GIVEN_UP_BUDGET, state=State.READY)
    installation.store.transact([replace(put_record(spent), condition=None)])
    give_up(job, installation)

    ticks(installation, clock)

    assert job.refresh().state is State.FAILED
    following = job.next_job()
    assert following is not None
    assert following.state is State.WAITING


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_letter_of_a_job_that_has_ended_carries_out_its_end(
    state: str, job: Job, installation: Installation, clock: FakeClock
) -> None:
    """The letter is the only promise that the status message of a completed job is sent."""
    ended = replace(job.record, state=State(state), finished_ms=clock.now_ms())
    installation.store.transact([replace(put_record(ended), condition=None)])
    give_up(job, installation)

    assert ticks(installation, clock) == {"letters of ended jobs": 1}

    channel = Channel.COMPLETED if state == "completed" else Channel.FAILED
    (status,) = letters(installation, Address("default", channel))
    assert json.loads(status.body)["state"] == state
    assert letters(installation) == []


def test_letter_of_a_running_job_waits_for_its_end(
    job: Job, installation: Installation, worker: Simulation, clock: FakeClock
) -> None:
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)
    installation.messages.delete(message.address, [message.receipt])
    installation.messages.send(DEAD, [Outgoing(body=message.body)])

    assert read_dead_letters(installation) == {"letters for later": 1}
    assert len(letters(installation)) == 1, "anybody still sees it"

    # its worker dies: the letter was the only promise left
    assert ticks(installation, clock) == {"letters sent again": 1}
    worker.step()
    assert job.refresh().result == "done"
    assert job.record.crashes == 1


def test_letter_of_a_job_that_spent_its_crashes_fails_it_as_its_message_would(
    job: Job, installation: Installation, worker: Simulation, clock: FakeClock
) -> None:
    for _ in range(3):
        (message,) = worker.receive()
        assert isinstance(worker.handler.begin(message), Run)
        clock.advance(timedelta(minutes=2))
    give_up(job, installation)

    assert ticks(installation, clock) == {"jobs given up": 1}
    assert job.refresh().state is State.FAILED
    assert job.errors[-1].kind == "WorkerDied"


def test_letter_of_a_job_that_has_another_promise_is_deleted(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    """Paused, blocked, not due, removed: whatever changes that sends a message."""
    paused, first = queue.submit("work"), queue.submit("work", delay=timedelta(days=1))
    blocked, removed = queue.submit("work", depends=[first]), queue.submit("work")
    jobs = [paused, first, blocked, removed]
    paused.pause()
    removed.cancel()
    removed.remove()
    for one in jobs:
        installation.messages.send(DEAD, [Outgoing(body=Pending.of(one.record).body())])
    take_messages(installation)

    counts = ticks(installation, clock)

    assert counts == {"letters not needed": 3, "letters sent again": 1}
    assert letters(installation) == []
    assert take_messages(installation) == [], "the one not due is the scheduler's"
    clock.advance(timedelta(days=1))
    tick(installation)
    assert [json.loads(body)["id"] for body in take_messages(installation)] == [first.id]


def test_letter_that_nobody_understands_stays_where_people_see_it(
    installation: Installation, clock: FakeClock, queue: Queue
) -> None:
    other = queue.submit("work")
    set_aside(installation, "{", reason="it is not JSON")
    set_aside(installation, Pending(job_id=other.id, task="another").body())
    gone = other.id[:-1] + ("0" if other.id[-1] != "0" else "1")
    set_aside(installation, Pending(job_id=gone, task="work").body())
    installation.messages.send(DEAD, [Outgoing(body="SQS moved this")])
    take_messages(installation)

    for _ in range(3):
        assert ticks(installation, clock) == {"letters kept": 4}
        assert len(letters(installation)) == 4
    assert take_messages(installation) == []


def test_letter_of_a_record_that_cannot_be_read_stays_until_it_can(
    job: Job, installation: Installation, clock: FakeClock
) -> None:
    give_up(job, installation)
    odd = {**job.record.to_item(), Field.STATE: "levitating"}
    installation.store.transact([replace(put_record(job.record), content=odd, condition=None)])
    assert ticks(installation, clock) == {"letters kept": 1}

    installation.store.transact([replace(put_record(job.record), condition=None)])
    assert ticks(installation, clock) == {"letters sent again": 1}


def test_message_that_no_worker_had_the_task_of_is_sent_again_and_not_counted(
    job: Job, installation: Installation, clock: FakeClock
) -> None:
    for _ in range(2 * GIVEN_UP_BUDGET):
        take_messages(installation)
        body = Pending(job_id=job.id, task="work", declined=100).body()
        set_aside(installation, body, reason="no worker has the task")
        assert ticks(installation, clock) == {"letters sent again": 1}
        assert [json.loads(body) for body in take_messages(installation)] == [
            {"v": 1, "id": job.id, "task": "work"}
        ]
        clock.advance(timedelta(days=1))
    assert job.refresh().state is State.READY
    assert job.record.given_up == 0


def test_message_that_a_worker_sets_aside_at_once_is_sent_hourly_at_most(
    job: Job, installation: Installation, clock: FakeClock
) -> None:
    """By a worker of an older version, say, that cannot read what this version can."""
    take_messages(installation)
    sent = 0
    for _ in range(24):
        set_aside(installation, Pending.of(job.record).body())
        ticks(installation, clock)
        sent += len(take_messages(installation))
    assert sent == 4, "in four hours"


def test_letters_do_not_multiply_the_messages_of_a_job(
    job: Job, installation: Installation, clock: FakeClock
) -> None:
    """Several letters of one job ask for one message, and the sweep sends none beside it."""
    give_up(job, installation)
    for _ in range(3):
        installation.messages.send(DEAD, [Outgoing(body=Pending.of(job.record).body())])

    counts = ticks(installation, clock)
    clock.advance(timedelta(hours=2))
    sweep(installation)

    assert counts == {"letters sent again": 1, "letters not needed": 3}
    assert len(take_messages(installation)) == 1


def test_the_tick_reads_the_letters(job: Job, installation: Installation, clock: FakeClock) -> None:
    give_up(job, installation)

    counts = Counter[str]()
    for _ in range(EVERY // MINUTE):
        clock.advance(MINUTE)
        counts += tick(installation)

    assert counts == {"letters sent again": 1}


def test_each_queue_is_looked_at_every_ten_minutes_and_none_oftener(clock: FakeClock) -> None:
    names = [f"queue{number:02}" for number in range(23)]
    installation = memory_installation(clock, queues=dict.fromkeys(names, ("work",)))
    for name in names:
        installation.messages.send(Address(name, Channel.DEAD_LETTER), [Outgoing(body="{")])

    seen = []
    for _ in range(EVERY // MINUTE):
        clock.advance(MINUTE)
        in_turn = queues_in_turn(installation)
        seen.append(read_dead_letters(installation, queues=in_turn)["letters kept"])

    assert sum(seen) == 23
    assert max(seen) == 3


def test_letters_that_stay_bound_a_pass(clock: FakeClock) -> None:
    installation = memory_installation(clock)
    installation.messages.send(DEAD, [Outgoing(body="{")] * (MOST_KEPT + 50))

    assert ticks(installation, clock) == {"letters kept": MOST_KEPT}


def test_pass_that_runs_out_of_time_leaves_the_other_letters(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    jobs = [queue.submit("work") for _ in range(25)]
    take_messages(installation)
    bodies = [Outgoing(body=Pending.of(job.record).body()) for job in jobs]
    installation.messages.send(DEAD, bodies)
    clock.advance(EVERY)
    asked = iter([False, *[True] * 100])

    counts = read_dead_letters(installation, time_is_up=partial(next, asked))

    assert counts == {"letters sent again": 10}
    assert ticks(installation, clock) == {"letters sent again": 15}
