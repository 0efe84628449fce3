"""Jobs taken by hand: which are taken, and what happens to the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Priority, Queue, RemoteJob, State, Submission, UnknownTask
from remotejob.manual.holder import JobHolder
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import Unreachable
from remotejob.testing.interception import intercepted
from tests.manual.looking import EMPTY, depth

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)


def test_job_taken_is_running_and_nobody_else_gets_it(queue: Queue, worker: Simulation) -> None:
    submitted = queue.submit("work", data={"n": 1})

    (job,) = queue.get_work()

    assert job.id == submitted.id
    assert job.data == {"n": 1}
    assert submitted.refresh().state is State.RUNNING
    assert worker.step() == 0
    assert queue.get_work() == []


def test_nothing_to_do_is_no_jobs(queue: Queue) -> None:
    assert queue.get_work() == []
    assert queue.get_work("other", max_jobs=5) == []


def test_a_process_without_a_registry_takes_any_task_of_the_queue(queue: Queue) -> None:
    queue.submit("work")
    queue.submit("other")

    assert {job.task for job in queue.get_work(max_jobs=5)} == {"work", "other"}


def test_no_more_jobs_are_taken_than_asked_for(queue: Queue, installation: Installation) -> None:
    queue.submit_many([Submission(task="work")] * 30)

    jobs = queue.get_work(max_jobs=25)

    assert len({job.id for job in jobs}) == 25
    assert depth(installation).visible == 5


def test_the_high_lane_is_taken_from_first(queue: Queue) -> None:
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
        queue.submit("work", priority=priority)

    assert [job.priority for job in queue.get_work(max_jobs=2)] == [-10, 0]


def test_only_tasks_asked_for_are_taken(queue: Queue) -> None:
    queue.submit_many([Submission(task="other")] * 12)
    wanted = queue.submit("work")

    assert [job.id for job in queue.get_work("work", max_jobs=5)] == [wanted.id]
    assert [job.id for job in queue.get_work(["work"])] == []


def test_messages_of_other_tasks_are_visible_again_at_once_to_a_worker_that_has_them(
    queue: Queue, worker: Simulation
) -> None:
    other = queue.submit("other")

    assert queue.get_work("work") == []

    assert worker.step() == 1
    assert other.refresh().result == "by the worker"


def test_messages_of_other_tasks_are_passed_back_ever_later(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    queue.submit("other")
    spans: list[int] = []
    for _ in range(9):
        assert queue.get_work("work") == []
        span = 0
        while depth(installation).visible == 0:
            clock.advance(SECOND)
            span += 1
        spans.append(span)

    assert spans == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_message_passed_back_for_ever_is_replaced_before_sqs_gives_it_up(
    clock: FakeClock,
) -> None:
    installation = memory_installation(clock, queues={"default": ("work", "other")})
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation)
    worker.tasks.task("other")(lambda job: "by the worker")
    other = queue.submit("other")
    for _ in range(1100):
        queue.get_work("work")
        clock.advance(timedelta(seconds=30))

    clock.advance(timedelta(minutes=1))
    worker.step()
    assert other.refresh().state is State.COMPLETED
    assert installation.messages.depth(Address("default", Channel.DEAD_LETTER)) == EMPTY


def test_wanted_jobs_beyond_those_asked_for_are_left_to_others(
    queue: Queue, worker: Simulation
) -> None:
    jobs = queue.submit_many([Submission(task="work")] * 3)

    (taken,) = queue.get_work("work")

    assert worker.step() == 2
    states = {job.id: job.refresh().state for job in jobs}
    assert states.pop(taken.id) is State.RUNNING
    assert set(states.values()) == {State.COMPLETED}


def test_a_message_nobody_understands_goes_to_the_dead_letter_queue(
    queue: Queue, installation: Installation
) -> None:
    installation.messages.send(Address("default", Channel.NORMAL), [Outgoing(body="{")])

    assert queue.get_work("work") == []

    assert depth(installation) == EMPTY
    (message,) = installation.messages.receive(
        Address("default", Channel.DEAD_LETTER), limit=10, wait=timedelta(0), hidden=SECOND
    )
    assert json.loads(message.body)["body"] == "{"


def test_a_job_not_yet_due_is_not_taken(queue: Queue, clock: FakeClock) -> None:
    queue.submit("work", delay=timedelta(minutes=5))
    assert queue.get_work() == []

    clock.advance(timedelta(minutes=5))
    assert len(queue.get_work()) == 1


@pytest.mark.parametrize(
    ("call", "refusal", "match"),
    [
        (lambda queue: queue.get_work("wrok"), UnknownTask, "'wrok'.*other, work"),
        (lambda queue: queue.get_work([]), InvalidData, "tasks is empty"),
        (lambda queue: queue.get_work(max_jobs=0), InvalidData, "max_jobs=0: .* from 1 to"),
        (lambda queue: queue.get_work(max_jobs=True), InvalidData, "max_jobs=True"),
        (lambda queue: queue.get_work(wait=5), InvalidData, "wait=5: use a timedelta"),
        (lambda queue: queue.get_work(wait=-SECOND), InvalidData, "is negative"),
        (lambda queue: queue.get_work(work_timeout=5), InvalidData, "work_timeout=5"),
        (lambda queue: queue.get_work(work_timeout=timedelta(0)), InvalidData, "no time"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked_for(
    installation: Installation,
    call: Callable[[Queue], Any],
    refusal: type[Exception],
    match: str,
) -> None:
    queue = RemoteJob(intercepted(installation, _Unreachable())).queue()

    with pytest.raises(refusal, match=match):
        call(queue)


class _Unreachable:
    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        raise Unreachable(name)


class _FailsOnce:
    """The n-th request of that name fails; with `times`, those after it too."""

    def __init__(self, name: str, *, at: int) -> None:
        self._name, self._left = name, at

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                raise Unreachable(name)
        return function()


def test_jobs_taken_before_a_request_failed_reach_the_caller(
    installation: Installation, worker: Simulation
) -> None:
    failing = intercepted(installation, _FailsOnce("store.update", at=2))
    queue = RemoteJob(failing, holder=JobHolder(failing, start=lambda beat: None)).queue()
    jobs = queue.submit_many([Submission(task="work")] * 3)

    (taken,) = queue.get_work(max_jobs=3)

    taken.done("mine")
    assert worker.step() == 2, "what was received with it is visible at once"
    results = sorted(job.refresh().result for job in jobs)
    assert results == ["by the worker", "by the worker", "mine"]


def test_a_request_that_fails_with_nothing_taken_is_raised(installation: Installation) -> None:
    failing = intercepted(installation, _FailsOnce("store.update", at=1))
    queue = RemoteJob(failing, holder=JobHolder(failing, start=lambda beat: None)).queue()
    queue.submit("work")

    with pytest.raises(Unreachable):
        queue.get_work()
    assert len(queue.get_work()) == 1


class _CtrlC(_FailsOnce):
    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], Any]) -> Any:
        try:
            return super().request(name, arguments, function)
        except Unreachable:
            raise KeyboardInterrupt from None


def test_ctrl_c_while_jobs_are_taken_gives_them_back(
    installation: Installation, worker: Simulation
) -> None:
    stopped = intercepted(installation, _CtrlC("messages.receive", at=2))
    queue = RemoteJob(stopped, holder=JobHolder(stopped, start=lambda beat: None)).queue()
    job = queue.submit("work", priority=Priority.HIGH)

    with pytest.raises(KeyboardInterrupt):
        queue.get_work(max_jobs=2)

    worker.step()
    assert job.refresh().result == "by the worker"
    assert job.record.crashes == 0
