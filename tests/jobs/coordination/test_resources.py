"""One job of a resource at a time, and so many of a tenant."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Fatal, InvalidName, Job, Queue, RemoteJob, Retry, State
from remotejob.jobs.messaging.send import send_for
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.messages.handler import ProcessDeath
from tests.jobs.coordination.work import Work, dies

MINUTE = timedelta(minutes=1)
LEASE = timedelta(seconds=60)


def left(installation: Installation, lock: str) -> list[str]:
    """What lies at a lock: who holds it, and who waits."""
    kinds = ("lock#", "waiter#")
    return [name for kind in kinds for name, _ in installation.store.items(lock, kind)]


def on_cat(queue: Queue, data: object, retry: Retry | None = None) -> Job:
    return queue.submit("work", data=data, resource="cat.jpg", retry=retry)


def other_worker(work: Work, installation: Installation) -> Simulation:
    return Simulation(installation=installation, tasks=work.worker.tasks, worker="other")


def test_second_job_of_a_resource_waits_until_the_first_has_ended(
    queue: Queue, work: Work, installation: Installation
) -> None:
    first = on_cat(queue, 1)
    other = other_worker(work, installation)
    seconds: list[Job] = []
    seen: list[State] = []
    messages: list[tuple[int, int, int]] = []

    def meanwhile() -> None:
        seconds.append(on_cat(queue, 2))
        other.step()
        seen.append(seconds[0].refresh().state)
        # its message is gone until the resource is free, and no worker receives it in vain
        normal = installation.messages.depth(Address("default", Channel.NORMAL))
        messages.append((normal.visible, normal.hidden, normal.delayed))

    work.while_running[1] = meanwhile
    work.off()

    assert seen == [State.WAITING]
    assert messages == [(0, 1, 0)], "that of the first"
    assert work.began == [1, 2]
    assert [first.refresh().state, seconds[0].refresh().state] == [State.COMPLETED] * 2


def test_jobs_of_other_resources_are_not_held_up(
    queue: Queue, work: Work, installation: Installation
) -> None:
    first = on_cat(queue, 1)
    other = other_worker(work, installation)

    def meanwhile() -> State:
        dog = queue.submit("work", data=2, resource="dog.jpg")
        other.step()
        return dog.refresh().state

    work.while_running[1] = meanwhile
    work.off()
    assert first.refresh().result == State.COMPLETED


def test_waiters_run_in_the_order_they_were_submitted(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    on_cat(queue, 1)

    def others_come() -> None:
        for data in (2, 3, 4):
            clock.advance(timedelta(seconds=1))
            on_cat(queue, data)
        work.step()

    work.while_running[1] = others_come
    work.off()
    assert work.began == [1, 2, 3, 4]


def test_failed_attempt_lets_others_have_the_resource(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    first = on_cat(queue, "fail", Retry(max_attempts=2, wait=5 * MINUTE))
    work.off()
    second = on_cat(queue, 2)
    work.off()
    assert second.refresh().state is State.COMPLETED
    assert first.refresh().state is State.WAITING
    clock.advance(5 * MINUTE)
    work.off()
    assert first.refresh().state is State.FAILED


def test_waiter_is_woken_by_a_failure_that_will_be_tried_again(
    queue: Queue, work: Work, installation: Installation
) -> None:
    on_cat(queue, 1, Retry(max_attempts=2, wait=30 * MINUTE))
    other = other_worker(work, installation)
    seconds: list[Job] = []

    def fails_while_the_other_parks() -> None:
        seconds.append(on_cat(queue, 2))
        other.step()
        assert seconds[0].refresh().record.parked == "resource#cat.jpg"
        raise ValueError("no")

    work.while_running[1] = fails_while_the_other_parks
    work.off()
    assert seconds[0].refresh().state is State.COMPLETED


def test_dead_workers_resource_is_taken_over_when_its_lease_has_ended(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = on_cat(queue, 1)
    work.while_running[1] = dies
    with suppress(ProcessDeath):
        work.step()
    second = on_cat(queue, 2)
    other = other_worker(work, installation)
    other.step()
    assert second.refresh().state is State.WAITING

    clock.advance(LEASE + timedelta(minutes=10))
    for _ in range(3):
        tick(installation)
        while other.step():
            pass

    assert [first.refresh().state, second.refresh().state] == [State.COMPLETED] * 2


def test_cancelled_run_keeps_its_resource_until_it_has_stopped(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = on_cat(queue, 1)
    other = other_worker(work, installation)
    seconds: list[Job] = []
    seen: list[State] = []

    def cancelled_while_it_runs() -> None:
        first.cancel()
        seconds.append(on_cat(queue, 2))
        other.step()
        seen.append(seconds[0].refresh().state)
        clock.advance(timedelta(seconds=25))
        work.worker.beat()

    work.while_running[1] = cancelled_while_it_runs
    work.off()

    assert seen == [State.WAITING]
    assert first.refresh().state is State.CANCELLED
    assert first.record.owed is None
    assert seconds[0].refresh().state is State.COMPLETED


@pytest.mark.parametrize("command", ["cancel", "pause"])
def test_parked_job_that_is_taken_away_holds_up_nobody(
    command: str, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    on_cat(queue, 1)
    waiters: list[Job] = []
    other = other_worker(work, installation)

    def meanwhile() -> None:
        for data in (2, 3):
            clock.advance(timedelta(seconds=1))
            waiters.append(on_cat(queue, data))
            other.step()
        getattr(waiters[0], command)()

    work.while_running[1] = meanwhile
    work.off()

    second, third = waiters
    assert 2 not in work.began
    assert third.refresh().state is State.COMPLETED
    if command == "pause":
        second.resume()
        work.off()
        assert second.refresh().state is State.COMPLETED
    assert left(installation, "resource#cat.jpg") == []


def test_scheduler_wakes_who_is_parked_at_a_free_lock(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """The holder's worker dies right after its commit, and the message is lost with it."""
    on_cat(queue, 1)
    on_cat(queue, 1)
    other = other_worker(work, installation)
    work.while_running[1] = other.step
    (message, *rest) = work.worker.receive()
    for one in rest:
        installation.messages.hide(one.address, [one.receipt], timedelta(0))
    work.worker.handler.attend(message)
    installation.messages.delete(message.address, [message.receipt])
    parked = next(job for job in queue.jobs() if job.state is State.WAITING)
    assert parked.record.parked == "resource#cat.jpg"

    clock.advance(timedelta(minutes=10))
    tick(installation)
    work.off()

    assert parked.refresh().state is State.COMPLETED


def test_lock_names_no_queue_and_is_gone_at_the_end(
    queue: Queue, work: Work, installation: Installation
) -> None:
    """A resource is the same in every queue."""
    first = on_cat(queue, 1)
    assert first.resource == "cat.jpg"
    names: list[str] = []

    def look() -> None:
        held = installation.store.items("resource#cat.jpg", "lock#")
        names.extend(name for name, _ in held)

    work.while_running[1] = look
    work.off()
    assert names == ["lock#000"]
    assert left(installation, "resource#cat.jpg") == []


@pytest.mark.parametrize("name", ["", "x" * 300, "new\nline"])
def test_resource_that_is_no_name_is_refused(name: str, queue: Queue) -> None:
    with pytest.raises(InvalidName, match="resource"):
        queue.submit("work", resource=name)


@pytest.mark.parametrize("name", ["", "x" * 200, "two words"])
def test_tenant_that_sqs_would_refuse_is_refused(name: str, queue: Queue) -> None:
    with pytest.raises(InvalidName, match="tenant"):
        queue.submit("work", tenant=name)


def test_no_more_jobs_of_a_tenant_run_than_its_cap(
    capped: Installation, work: Work, installation: Installation
) -> None:
    queue = RemoteJob(capped).queue()
    acme: list[Job] = []
    running: list[int] = []
    most: list[int] = []

    def another_comes() -> None:
        running.append(1)
        most.append(len(running))
        if len(acme) < 4:
            submit()
            work.worker.step()
        running.pop()

    def submit() -> None:
        data = len(acme)
        work.while_running[data] = another_comes
        acme.append(queue.submit("work", data=data, tenant="acme"))

    submit()
    work.off()
    other = queue.submit("work", data="other", tenant="globex")
    work.off()

    assert max(most) == 2
    assert [job.refresh().state for job in acme] == [State.COMPLETED] * len(acme)
    assert len(acme) == 4
    assert other.refresh().state is State.COMPLETED
    assert left(installation, "tenant#default#acme") == []


def test_tenants_message_travels_in_its_group(queue: Queue, work: Work) -> None:
    queue.submit("work", tenant="acme")
    (message,) = work.worker.receive()
    assert message.group == "acme"


@pytest.mark.parametrize("tenant", ["", "a b", "é", "a" * 129, "line\n"])
def test_a_record_of_an_impossible_tenant_is_sent_without_a_group(
    queue: Queue, work: Work, installation: Installation, tenant: str
) -> None:
    job = queue.submit("work")
    (first,) = work.worker.receive()
    assert first.group is None
    send_for([replace(job.record, tenant=tenant)], installation)
    (again,) = work.worker.receive()
    assert again.group is None


def test_job_with_a_resource_and_an_antecedent_waits_for_both(queue: Queue, work: Work) -> None:
    on_cat(queue, 1)
    second = queue.submit("work", data=2, retry=Retry())
    third = queue.submit("work", data=3, resource="cat.jpg", depends=[second])
    work.while_running[1] = work.step
    work.off()
    assert third.refresh().state is State.COMPLETED
    assert work.began[-1] == 3


def test_fatal_failure_frees_the_resource(
    queue: Queue, work: Work, installation: Installation
) -> None:
    def fatal() -> None:
        raise Fatal("never")

    first = on_cat(queue, 1)
    work.while_running[1] = fatal
    work.off()
    assert first.refresh().state is State.FAILED
    assert left(installation, "resource#cat.jpg") == []
