"""A message only says where to look: the record decides what runs, where, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Job, JobNotFound, Queue, RemoteJob, State
from remotejob.client.notices import Notice
from remotejob.domain.ids import new_job_id
from remotejob.jobs.messaging.messages import Pending, status_body
from remotejob.manual.holder import JobHolder
from remotejob.ports import Address, Channel, Depth, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.odd.test_unreadable_records import dead_letters

NORMAL = Address("default", Channel.NORMAL)
COMPLETED = Address("default", Channel.COMPLETED)
FAILED = Address("default", Channel.FAILED)


def send(installation: Installation, body: str, address: Address = NORMAL) -> None:
    installation.messages.send(address, [Outgoing(body=body)])


def lose_messages(worker: Simulation) -> None:
    for message in worker.receive():
        worker.installation.messages.delete(message.address, [message.receipt])


def steps(worker: Simulation) -> None:
    for _ in range(20):
        if not worker.step():
            return


@pytest.fixture
def second(installation: Installation, ran: list[tuple[str, object]]) -> Simulation:
    """A worker of another queue, which has one task in common with the first."""
    worker = Simulation(installation=installation, queue="second")
    for name in ("work", "pay"):
        worker.tasks.task(name)(lambda job, name=name: ran.append((f"second {name}", job.data)))
    return worker


@pytest.mark.parametrize("options", [{}, {"resource": "scanner"}, {"delay": timedelta(seconds=1)}])
@pytest.mark.parametrize("task", ["other", "nobody's"])
def test_a_message_that_names_another_task_runs_nothing(
    task: str,
    options: dict[str, Any],
    installation: Installation,
    queue: Queue,
    worker: Simulation,
    ran: list[tuple[str, object]],
    clock: FakeClock,
) -> None:
    job = queue.submit("work", data=1, **options)
    clock.advance(timedelta(seconds=2))
    lose_messages(worker)
    send(installation, Pending(job_id=job.id, task=task).body())

    worker.step()
    assert (ran, job.refresh().attempt) == ([], 0)
    steps(worker)

    # its own message was sent again
    assert (ran, job.refresh().state, job.attempt) == ([("work", 1)], State.COMPLETED, 1)
    (dead,) = dead_letters(installation)
    assert task in dead["reason"]
    assert "'work'" in dead["reason"]


@pytest.mark.parametrize("options", [{}, {"resource": "scanner"}])
def test_a_message_on_another_queues_lane_runs_nothing_there(
    options: dict[str, Any],
    installation: Installation,
    queue: Queue,
    worker: Simulation,
    second: Simulation,
    ran: list[tuple[str, object]],
) -> None:
    job = queue.submit("work", data=1, **options)
    lose_messages(worker)
    body = Pending(job_id=job.id, task="work").body()
    send(installation, body, Address("second", Channel.NORMAL))

    steps(second)
    assert (ran, job.refresh().state) == ([], State.READY)
    steps(worker)

    assert (ran, job.refresh().state) == ([("work", 1)], State.COMPLETED)
    (dead,) = dead_letters(installation, "second")
    assert "'default'" in dead["reason"]
    assert "'second'" in dead["reason"]


@pytest.mark.parametrize("how", ["running", "lapsed", "ended", "paused"])
def test_an_odd_message_of_a_job_that_cannot_run_now_changes_nothing(
    how: str,
    installation: Installation,
    queue: Queue,
    worker: Simulation,
    clock: FakeClock,
    ran: list[tuple[str, object]],
) -> None:
    job = queue.submit("work")
    if how == "ended":
        steps(worker)
    elif how == "paused":
        job.pause()
        lose_messages(worker)
    else:
        worker.handler.begin(worker.receive()[0])
    if how == "lapsed":
        clock.advance(timedelta(minutes=5))
        lose_messages(worker)
    before = job.refresh().record
    ran.clear()
    send(installation, Pending(job_id=job.id, task="other").body())

    worker.step()

    assert job.refresh().record == before
    assert ran == []
    assert len(dead_letters(installation)) == 1


def test_a_message_of_no_task_and_no_job_ends_at_once_with_the_reason(
    installation: Installation, worker: Simulation, clock: FakeClock
) -> None:
    job_id = new_job_id(clock.now_ms(), installation.entropy)
    send(installation, Pending(job_id=job_id, task="no-such-task").body())

    worker.step()

    (dead,) = dead_letters(installation)
    assert job_id in dead["reason"]
    assert "no-such-task" in dead["reason"]
    clock.advance(timedelta(days=1))
    assert worker.receive() == []


def test_a_message_of_no_task_and_a_removed_job_is_deleted(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    steps(worker)
    job.refresh().remove()
    send(installation, Pending(job_id=job.id, task="no-such-task").body())

    worker.step()

    assert dead_letters(installation) == []
    clock.advance(timedelta(days=1))
    assert worker.receive() == []


@pytest.mark.parametrize("by_hand", [False, True], ids=["by a worker", "by hand"])
def test_a_message_whose_task_nobody_has_is_passed_on_for_a_day_and_the_job_says_so(
    by_hand: bool,  # noqa: FBT001 (pytest gives it)
    installation: Installation,
    queue: Queue,
    clock: FakeClock,
) -> None:
    if by_hand:
        # two hundred requests: in memory only
        installation = memory_installation(clock, queues={"default": ("work", "other")})
        queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation)
    worker.tasks.task("other")(lambda job: None)
    holder = JobHolder(installation, start=lambda beat: None)
    system = RemoteJob(installation, holder=holder)
    job = queue.submit("work")
    turns, began = 0, clock.now_ms()
    dead: list[dict[str, str]] = []
    while not dead:
        if by_hand:
            assert system.queue().get_work("other", max_jobs=1) == []
            clock.advance(timedelta(seconds=30))
        else:
            worker.step()
            clock.advance(timedelta(minutes=15))
        dead = dead_letters(installation)
        turns += 1
        assert turns < 30_000
        if by_hand and turns > 210:
            # that would take hours: the rest is the worker's
            by_hand = False

    assert clock.now_ms() - began >= 24 * 3_600_000
    assert "no worker of queue 'default' has task 'work'" in dead[0]["reason"]
    assert job.refresh().state is State.READY, "a worker that has the task may still come"
    assert job.errors[-1].kind == "NoSuchTask"
    assert "set aside" in job.why().text
    worker.tasks.task("work")(lambda one: "done")
    job.pause()
    job.resume()
    steps(worker)
    assert job.refresh().state is State.COMPLETED


@pytest.mark.parametrize(
    "declined",
    [-1, -(10**9), True, 1.5, "many", None, [], 10**400, 10**9],
    ids=lambda value: str(value)[:12],
)
def test_an_odd_count_of_turns_lets_no_message_come_back_for_ever(
    declined: object, installation: Installation, queue: Queue, clock: FakeClock
) -> None:
    worker = Simulation(installation=installation)
    job = queue.submit("work")
    lose_messages(worker)
    body = {"v": 1, "id": job.id, "task": "work", "declined": declined}
    send(installation, json.dumps(body))

    worker.step()

    assert len(dead_letters(installation)) == 1
    clock.advance(timedelta(hours=1))
    assert worker.receive() == []


def test_manual_work_takes_the_records_word_too(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    lose_messages(worker)
    send(installation, Pending(job_id=job.id, task="other").body())
    send(installation, Pending(job_id=job.id, task="nobody's").body())
    send(installation, Pending(job_id=job.id, task="pay").body())

    taken = queue.get_work(max_jobs=3) + queue.get_work(max_jobs=3)

    assert len(dead_letters(installation)) == 3
    assert [one.task for one in taken] == ["work"]
    for one in taken:
        one.done()


# --- the end of a run


def told(queue: Queue, status: str) -> Notice | None:
    found = queue.next(status, wait=timedelta(0))  # type: ignore[call-overload]
    assert found is None or isinstance(found, Notice)
    return found


def forged(job: Job, **fields: object) -> str:
    said = {"state": "completed", "run": "f" * 16, "attempt": 1, "finished_ms": 1}
    said |= {"v": 1, "id": job.id, "task": job.task, "queue": job.queue}
    return json.dumps({**said, **fields})


def depth(installation: Installation, address: Address) -> Depth:
    return installation.messages.depth(address)


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        (COMPLETED, {}),
        (FAILED, {"state": "failed"}),
        (FAILED, {"state": "cancelled"}),
        (COMPLETED, {"state": "running"}),
        (COMPLETED, {"state": "ready"}),
    ],
)
def test_the_end_of_a_job_that_has_not_ended_cannot_be_forged(
    address: Address, fields: dict[str, Any], installation: Installation, queue: Queue
) -> None:
    job = queue.submit("work")
    send(installation, forged(job, **fields), address)

    assert told(queue, address.channel) is None

    left = depth(installation, address)
    assert (left.visible, left.hidden) == (0, 0), "it is deleted"


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        (FAILED, {"state": "failed"}),
        (FAILED, {}),
        (COMPLETED, {"task": "other"}),
        (COMPLETED, {"queue": "second"}),
        (Address("second", Channel.COMPLETED), {}),
        (Address("second", Channel.COMPLETED), {"queue": "second"}),
    ],
)
def test_a_notice_that_says_otherwise_than_the_record_is_not_handed_out(
    address: Address,
    fields: dict[str, Any],
    installation: Installation,
    remote: RemoteJob,
    worker: Simulation,
) -> None:
    job = remote.queue().submit("work")
    steps(worker)
    notice = told(remote.queue(), "completed")
    assert notice is not None
    notice.acknowledge()
    send(installation, forged(job, **fields), address)

    assert told(remote.queue(address.queue), address.channel) is None


def test_a_forged_notice_of_an_end_that_happened_says_only_what_happened(
    installation: Installation, queue: Queue, worker: Simulation
) -> None:
    worker.tasks.task("fails")
    job = queue.submit("work")
    lose_messages(worker)
    job.cancel()
    told(queue, "failed")
    said = {"state": "cancelled", "attempt": 99, "error": {"kind": "Forged", "message": "x"}}
    send(installation, forged(job, **said), FAILED)

    notice = told(queue, "failed")

    assert notice is not None
    job.refresh()
    assert (notice.attempt, notice.run_id, notice.error) == (0, None, None)
    assert notice.finished_at == job.finished_at


def test_notices_of_jobs_that_never_were_or_were_removed_are_not_handed_out(
    installation: Installation, queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("work")
    steps(worker)
    body = status_body(job.refresh().record)
    other = body.replace(job.id, new_job_id(clock.now_ms(), installation.entropy))
    job.remove()
    send(installation, other, COMPLETED)

    assert told(queue, "completed") is None
    assert told(queue, "completed") is None


def test_an_old_notice_of_a_job_that_was_restarted_is_not_handed_out(
    installation: Installation, queue: Queue, worker: Simulation
) -> None:
    fails: Callable[[object], object] = lambda job: 1 / 0  # noqa: E731
    failing = Simulation(installation=installation)
    failing.tasks.task("work")(fails)
    job = queue.submit("work")
    steps(failing)
    job.refresh().restart()

    assert told(queue, "failed") is None
    steps(worker)
    notice = told(queue, "completed")
    assert notice is not None
    assert notice.job_id == job.id


def test_a_notice_whose_job_is_removed_after_it_was_received_says_so(
    queue: Queue, worker: Simulation
) -> None:
    job = queue.submit("work")
    steps(worker)
    notice = told(queue, "completed")
    assert notice is not None
    job.refresh().remove()

    with pytest.raises(JobNotFound):
        assert notice.job
