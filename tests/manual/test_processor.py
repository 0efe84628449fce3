"""`process_jobs` calls a function with jobs as they come, in real time and in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    AccessProblem,
    InvalidData,
    Queue,
    RemoteJob,
    Retry,
    State,
    Submission,
    UnknownTask,
)
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.priority import Lane
from remotejob.domain.urgency import Urgency
from remotejob.manual import processor as processor_module
from remotejob.manual.processor import Processor
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Address, Installation, Received
from remotejob.testing import memory_installation
from tests.end_to_end.waiting import until

SOON = timedelta(milliseconds=20)
NEVER = timedelta(days=1)
"""Between two looks: what happens sooner happens for another reason."""


class Watched(MemoryMessages):
    """Tells how often somebody looked for messages, who may be denied it."""

    looks = 0
    denied = 0
    denying = False

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        if self.denying:
            self.denied += 1
            raise AccessProblem("not allowed sqs:ReceiveMessage")
        received = super().receive(address, limit=limit, wait=wait, hidden=hidden)
        self.looks += 1
        return received


def has_looked(installation: Installation, times: int = 1) -> None:
    """Wait until somebody has looked into every lane."""
    messages = installation.messages
    assert isinstance(messages, Watched)
    before = messages.looks if times > 1 else 0
    until(lambda: messages.looks - before >= times * len(Lane), what="its looks")


@pytest.fixture
def installation() -> Installation:
    clock = SystemClock()
    return replace(
        memory_installation(queues={"default": ("work", "other")}),
        clock=clock,
        messages=Watched(clock),
        entropy=os.urandom,
    )


@pytest.fixture
def queue(installation: Installation) -> Queue:
    return RemoteJob(installation).queue()


Process = Callable[..., Processor]


@pytest.fixture
def process(queue: Queue) -> Iterator[Process]:
    """As the queue's `process_jobs`, and shut down in the end."""
    made: list[Processor] = []

    def process(function: Callable[[Any], Any], **options: Any) -> Processor:
        made.append(queue.process_jobs("work", function, **{"poll_interval": SOON, **options}))
        return made[-1]

    yield process
    for one in made:
        one.shutdown(Urgency.HARD)


class Gate:
    """A function that does not return until it is let through."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun: list[Any] = []
        self.raised: list[BaseException] = []

    def __call__(self, job: Any) -> str:
        self.begun.append(job)
        assert self.opened.wait(60)
        return "through"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def submitted(queue: Queue, count: int) -> list[Any]:
    return queue.submit_many([Submission(task="work", data=n) for n in range(count)])


def test_it_begins_by_itself_and_what_is_returned_is_the_result(
    queue: Queue, process: Process
) -> None:
    processor = process(lambda job: job.data * 2)

    jobs = submitted(queue, 20)

    assert [job.wait(30).result for job in jobs] == [n * 2 for n in range(20)]
    until(processor.idle, what="the end of all calls")


def test_what_is_raised_fails_the_job_and_the_next_ones_are_done(
    queue: Queue, process: Process
) -> None:
    def work(job: TakenJob) -> str:
        if job.data == 0:
            raise ValueError("no")
        if job.data == 1:
            raise SystemExit
        return "done"

    process(work)
    jobs = submitted(queue, 3)

    assert [job.wait(30).state for job in jobs] == [State.FAILED, State.FAILED, State.COMPLETED]
    assert [job.errors[-1].kind for job in jobs[:2]] == ["ValueError", "SystemExit"]


def test_a_function_may_end_the_job_itself(
    queue: Queue, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    def work(job: TakenJob) -> str:
        if job.data:
            job.fail("no")
        else:
            job.done("mine")
        return "returned"

    processor = process(work)
    done, failed = submitted(queue, 2)

    assert done.wait(30).result == "mine"
    assert failed.wait(30).errors[-1].message == "no"
    processor.shutdown()
    # nothing tried to end them once more
    assert [one for one in caplog.records if one.name == processor_module.log.name] == []


def test_a_result_that_cannot_be_written_fails_the_job(queue: Queue, process: Process) -> None:
    process(lambda job: object() if job.data == 0 else "done")

    jobs = submitted(queue, 2)

    assert jobs[1].wait(30).result == "done"
    assert jobs[0].wait(30).state is State.FAILED
    assert jobs[0].errors[-1].kind == "InvalidData"


def test_only_tasks_asked_for_are_taken(queue: Queue, process: Process) -> None:
    process(lambda job: job.task)
    other = queue.submit("other")
    jobs = submitted(queue, 3)

    assert all(job.wait(30).result == "work" for job in jobs)
    assert other.refresh().state is State.READY


def test_calls_run_side_by_side_up_to_the_concurrency(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, concurrency=3)
    jobs = submitted(queue, 5)

    until(processor.full, what="three calls")
    assert (processor.running(), processor.length(), processor.idle()) == (3, 0, False)
    running = [job for job in jobs if job.refresh().state is State.RUNNING]
    assert len(running) == 3, "no job is taken that cannot begin"

    gate.opened.set()
    assert all(job.wait(30).result == "through" for job in jobs)


def test_prefetched_jobs_are_held_and_not_begun(queue: Queue, process: Process, gate: Gate) -> None:
    processor = process(gate, prefetch=2)
    submitted(queue, 5)

    until(lambda: processor.length() == 2, what="two jobs ahead")
    assert processor.running() == 1
    assert len(gate.begun) == 1


def test_a_function_is_given_as_many_jobs_as_the_payload_says(
    queue: Queue, process: Process
) -> None:
    sizes: list[int] = []

    def work(jobs: list[TakenJob]) -> str:
        sizes.append(len(jobs))
        jobs[0].done("first")
        return "rest"

    processor = process(work, payload=3).pause()
    jobs = submitted(queue, 7)
    processor.resume()

    results = [job.wait(30).result for job in jobs]
    assert sorted(sizes, reverse=True) == [3, 3, 1]
    assert sorted(results) == ["first"] * 3 + ["rest"] * 4


def test_call_with_several_jobs_is_one_call(queue: Queue, process: Process, gate: Gate) -> None:
    processor = process(gate, payload=2, concurrency=2, poll_interval=NEVER).pause()
    submitted(queue, 3)
    processor.resume()

    until(lambda: processor.full(), what="two calls")
    assert (processor.running(), processor.length()) == (2, 0)


def test_a_list_that_fails_fails_all_that_are_left_of_it(queue: Queue, process: Process) -> None:
    def work(jobs: list[TakenJob]) -> None:
        jobs[0].done("first")
        raise ValueError("no")

    processor = process(work, payload=3).pause()
    jobs = submitted(queue, 3)
    processor.resume()

    states = sorted(job.wait(30).state for job in jobs)
    assert states == [State.COMPLETED, State.FAILED, State.FAILED]


def test_paused_it_takes_and_begins_nothing_until_it_is_resumed(
    queue: Queue, process: Process, installation: Installation
) -> None:
    processor = process(lambda job: "done").pause()
    (job,) = submitted(queue, 1)

    assert processor.trigger() is processor
    # time for many looks: those of another one, which has other tasks
    with queue.process_jobs("other", lambda job: None, poll_interval=SOON):
        has_looked(installation, times=30)
    assert processor.idle()
    assert repr(processor) == "<Processor of queue default, paused: 0 running, 0 waiting>"
    assert job.refresh().state is State.READY

    assert processor.resume() is processor
    assert job.wait(30).result == "done"


def test_jobs_that_have_begun_go_on_while_it_is_paused(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=1)
    first, second = submitted(queue, 2)
    until(lambda: processor.length() == 1, what="a job ahead")

    processor.pause()
    gate.opened.set()

    until(lambda: processor.running() == 0, what="the call's end")
    states = sorted(job.refresh().state for job in (first, second))
    assert states == [State.COMPLETED, State.RUNNING]
    assert (processor.length(), processor.full()) == (1, False)
    assert not processor.idle(), "the one ahead waits in it"

    processor.resume()
    assert first.wait(30).result == second.wait(30).result == "through"


def test_triggered_it_looks_at_once(
    queue: Queue, process: Process, installation: Installation
) -> None:
    processor = process(lambda job: "done", poll_interval=NEVER)
    has_looked(installation)
    (job,) = submitted(queue, 1)

    processor.trigger()

    assert job.wait(30).result == "done"


def test_after_a_call_it_looks_at_once(queue: Queue, process: Process) -> None:
    (first,) = submitted(queue, 1)
    late: list[Any] = []

    def work(job: TakenJob) -> str:
        if not late:
            late.extend(submitted(queue, 1))
        return "done"

    # with room to spare, it would otherwise look again after its interval
    process(work, poll_interval=NEVER, concurrency=2)

    assert first.wait(30).result == "done"
    assert late[0].wait(30).result == "done"


def test_it_polls(queue: Queue, process: Process, installation: Installation) -> None:
    process(lambda job: "done")
    has_looked(installation)
    (job,) = submitted(queue, 1)

    assert job.wait(30).result == "done"


def test_shut_down_softly_it_finishes_all_jobs_it_has(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=2)
    jobs = submitted(queue, 5)
    until(lambda: processor.length() == 2, what="two jobs ahead")
    ending = threading.Thread(target=processor.shutdown, args=[Urgency.SOFT])
    ending.start()

    until(lambda: "process-get" not in threads(), what="the end of taking")
    gate.opened.set()
    ending.join(30)

    assert processor.idle()
    states = sorted(job.refresh().state for job in jobs)
    assert states == [State.COMPLETED] * 3 + [State.READY] * 2


def test_shut_down_normally_it_finishes_what_has_begun_and_gives_back_the_rest(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=2)
    jobs = submitted(queue, 5)
    until(lambda: processor.length() == 2, what="two jobs ahead")
    ending = threading.Thread(target=processor.shutdown)
    ending.start()

    until(lambda: processor.length() == 0, what="those ahead given back")
    assert ending.is_alive(), "it waits for the call"
    gate.opened.set()
    ending.join(30)

    states = sorted(job.refresh().state for job in jobs)
    assert states == [State.COMPLETED] + [State.READY] * 4
    assert all(job.record.failures == 0 for job in jobs)


def test_jobs_that_must_not_run_twice_are_given_back_unless_they_have_begun(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=2)
    made = [Submission(task="work", data=n, crashes=0) for n in range(3)]
    jobs = queue.submit_many(made)
    until(lambda: processor.length() == 2 and gate.begun, what="one that runs, and two ahead")

    processor.shutdown(Urgency.HARD)

    (begun,) = (job for job in jobs if job.id == gate.begun[0].id)
    assert begun.refresh().state is State.FAILED
    assert "must not run again by itself" in begun.errors[-1].message
    assert [job.refresh().state for job in jobs if job is not begun] == [State.READY] * 2


def test_shut_down_hard_it_gives_everything_back_and_waits_for_nothing(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=2)
    jobs = submitted(queue, 5)
    until(lambda: processor.length() == 2, what="two jobs ahead")

    processor.shutdown(Urgency.HARD)

    assert [job.refresh().state for job in jobs] == [State.READY] * 5
    assert gate.begun[0].cancelled, "the function learns it"
    gate.opened.set()
    until(lambda: processor.running() == 0, what="the call's end")
    assert [job.refresh().state for job in jobs] == [State.READY] * 5


def test_a_harder_shutdown_hurries_a_soft_one(queue: Queue, process: Process, gate: Gate) -> None:
    processor = process(gate)
    (job,) = submitted(queue, 1)
    until(processor.full, what="a call")
    soft = threading.Thread(target=processor.shutdown, args=[Urgency.SOFT])
    soft.start()

    processor.shutdown(Urgency.HARD)

    assert job.refresh().state is State.READY
    gate.opened.set()
    soft.join(30)
    assert not soft.is_alive()


def test_a_normal_shutdown_after_a_soft_one_gives_back_what_has_not_begun(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=1)
    jobs = submitted(queue, 2)
    until(lambda: processor.length() == 1, what="a job ahead")
    soft, normal = (
        threading.Thread(target=processor.shutdown, args=[urgency])
        for urgency in (Urgency.SOFT, Urgency.NORMAL)
    )
    soft.start()
    until(lambda: "process-get" not in threads(), what="the end of looking for jobs")
    normal.start()

    until(lambda: processor.length() == 0, what="the one ahead given back")
    gate.opened.set()
    for thread in (soft, normal):
        thread.join(30)

    states = sorted(job.refresh().state for job in jobs)
    assert states == [State.COMPLETED, State.READY]


def test_it_may_be_shut_down_from_within_the_function(queue: Queue, process: Process) -> None:
    made: list[Processor] = []

    def work(job: TakenJob) -> str:
        made[0].shutdown()
        return "last"

    made.append(process(work, poll_interval=NEVER).pause())
    jobs = submitted(queue, 2)
    made[0].resume()

    until(lambda: any(job.refresh().ended for job in jobs), what="a job's end")
    made[0].shutdown()
    states = sorted(job.refresh().state for job in jobs)
    assert states == [State.COMPLETED, State.READY]


def test_as_a_context_manager_it_is_shut_down_in_the_end(queue: Queue, gate: Gate) -> None:
    gate.opened.set()
    (job,) = submitted(queue, 1)

    with queue.process_jobs("work", gate, poll_interval=SOON) as processor:
        job.wait(30)

    assert processor.idle()
    assert repr(processor) == "<Processor of queue default, shut down: 0 running, 0 waiting>"
    (late,) = submitted(queue, 1)
    processor.trigger()
    assert late.refresh().state is State.READY


def deny(installation: Installation) -> Watched:
    messages = installation.messages
    assert isinstance(messages, Watched)
    messages.denying = True
    return messages


def shut_itself_down(processor: Processor) -> None:
    until(lambda: processor.problem is not None, what="its end")


def test_denied_jobs_it_shuts_itself_down_and_its_shutdown_raises_why(
    queue: Queue, installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    messages = deny(installation)
    processor = queue.process_jobs("work", lambda job: "done", poll_interval=SOON)
    shut_itself_down(processor)

    for urgency in Urgency:
        with pytest.raises(AccessProblem, match="ReceiveMessage"):
            processor.shutdown(urgency)

    assert messages.denied == 1, "it does not look again"
    assert "ReceiveMessage" in caplog.text


def test_denied_jobs_it_finishes_what_has_begun_and_gives_back_the_rest(
    queue: Queue, installation: Installation, gate: Gate
) -> None:
    processor = queue.process_jobs("work", gate, poll_interval=SOON, prefetch=2)
    jobs = submitted(queue, 2)
    until(lambda: processor.length() == 1 and processor.running() == 1, what="one ahead")

    deny(installation)
    shut_itself_down(processor)
    until(lambda: processor.length() == 0, what="the one ahead given back")
    assert processor.running() == 1
    gate.opened.set()
    with pytest.raises(AccessProblem):
        processor.shutdown()

    states = sorted(job.refresh().state for job in jobs)
    assert states == [State.COMPLETED, State.READY]


def test_block_in_which_it_shut_itself_down_raises_why(
    queue: Queue, installation: Installation
) -> None:
    deny(installation)

    with (
        pytest.raises(AccessProblem, match="ReceiveMessage"),
        queue.process_jobs("work", lambda job: "done") as processor,
    ):
        shut_itself_down(processor)


def test_block_that_raises_an_error_of_its_own_keeps_it(
    queue: Queue, installation: Installation
) -> None:
    deny(installation)

    def block() -> None:
        with queue.process_jobs("work", lambda job: "done") as processor:
            shut_itself_down(processor)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as raised:
        block()

    (note,) = raised.value.__notes__
    assert "ReceiveMessage" in note


def test_function_that_shuts_it_down_is_not_failed_for_what_it_may_not_do(
    queue: Queue, installation: Installation
) -> None:
    made: list[Processor] = []

    def work(job: TakenJob) -> str:
        deny(installation)
        shut_itself_down(made[0])
        made[0].shutdown()
        return "done"

    made.append(queue.process_jobs("work", work, poll_interval=SOON, prefetch=1).pause())
    (job,) = submitted(queue, 1)
    made[0].resume()

    assert job.wait(30).result == "done"
    with pytest.raises(AccessProblem):
        made[0].shutdown()


def test_work_timeout_counts_from_when_the_function_is_called(
    queue: Queue, process: Process, gate: Gate
) -> None:
    processor = process(gate, prefetch=1, work_timeout=timedelta(milliseconds=100))
    queue.submit("work", retry=Retry(max_attempts=1))
    queue.submit("work", retry=Retry(max_attempts=1))
    until(lambda: processor.length() == 1, what="a job ahead")

    until(lambda: gate.begun[0].ended, what="the silent job's end")

    # it is over for its holder before its record says so
    failed = until(
        lambda: [job for job in queue.jobs() if job.state is State.FAILED], what="its failure"
    )
    assert [job.errors[-1].kind for job in failed] == ["TimedOut"]
    assert processor.length() == 1, "the job ahead has not begun"


@pytest.mark.parametrize(
    ("options", "refusal", "match"),
    [
        ({"tasks": "wrok"}, UnknownTask, "wrok"),
        ({"concurrency": 0}, InvalidData, "concurrency=0"),
        ({"payload": 0}, InvalidData, "payload=0"),
        ({"prefetch": -1}, InvalidData, "prefetch=-1"),
        ({"concurrency": 100, "payload": 100}, InvalidData, "10000 jobs at a time"),
        ({"poll_interval": 5}, InvalidData, "poll_interval=5: use a timedelta"),
        ({"poll_interval": timedelta(0)}, InvalidData, "poll_interval"),
        ({"work_timeout": 5}, InvalidData, "work_timeout=5"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    queue: Queue, options: dict[str, Any], refusal: type[Exception], match: str
) -> None:
    before = threading.active_count()

    with pytest.raises(refusal, match=match):
        queue.process_jobs(options.pop("tasks", "work"), lambda job: None, **options)

    assert threading.active_count() <= before
