"""What meteor-job's and job-collection's users may rely on, where no other test shows it."""

from __future__ import annotations

import inspect
import logging
import os
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from remotejob import (
    FOREVER,
    FOREVER_DATE,
    Backoff,
    Completion,
    Priority,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    RunningJob,
    State,
    TakenJob,
    Urgency,
)
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.job_log import LOG_LEVELS
from remotejob.domain.states import CANCELLABLE, PAUSABLE, REMOVABLE, RESTARTABLE
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.options import Processing
from remotejob.ports import Address, Installation, Received
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.heritage.conftest import work_off

MINUTE = timedelta(minutes=1)


def now(clock: FakeClock) -> datetime:
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC)


def pass_time(
    worker: Simulation, clock: FakeClock, installation: Installation, *, minutes: int
) -> None:
    for _ in range(minutes):
        work_off(worker)
        clock.advance(MINUTE)
        tick(installation)
    work_off(worker)


class FailsAtFirst:
    """A task that fails so many times, and then completes."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.runs = 0

    def __call__(self, job: RunningJob) -> int:
        self.runs += 1
        if self.left > 0:
            self.left -= 1
            raise ValueError(f"failure number {self.runs}")
        return self.runs


def test_priorities_have_the_names_and_numbers_they_had() -> None:
    assert {one.name.lower(): one.value for one in Priority} == {
        "low": 10,
        "normal": 0,
        "medium": -5,
        "high": -10,
        "critical": -15,
    }


def test_a_job_has_one_of_the_same_seven_states() -> None:
    assert set(State) == {
        "waiting", "paused", "ready", "running", "failed", "cancelled", "completed",
    }  # fmt: skip


def test_commands_are_allowed_in_the_states_they_were() -> None:
    assert {"running", "ready", "waiting", "paused"} == CANCELLABLE
    assert {"ready", "waiting"} == PAUSABLE
    assert {"cancelled", "completed", "failed"} == REMOVABLE
    assert {"cancelled", "failed"} == RESTARTABLE


def test_log_levels_and_backoffs_are_called_as_they_were() -> None:
    assert LOG_LEVELS == ("info", "success", "warning", "danger")
    assert set(Backoff) == {"constant", "exponential"}


def test_by_default_a_policy_waits_five_minutes_each_time_and_has_no_last_date() -> None:
    retry = Retry(max_attempts=2)
    assert retry.wait == timedelta(minutes=5)
    assert retry.backoff is Backoff.CONSTANT
    assert retry.until is FOREVER_DATE
    assert Repeat().times is FOREVER
    assert Repeat().until is FOREVER_DATE


def test_a_job_can_be_tried_for_ever(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    task = FailsAtFirst(12)
    worker.tasks.task("work")(task)
    job = queue.submit("work", retry=Retry(max_attempts=FOREVER, wait=MINUTE))

    pass_time(worker, clock, installation, minutes=13)

    assert job.refresh().result == 13
    assert job.record.retry == Retry(max_attempts=FOREVER, wait=MINUTE)


def test_for_ever_still_ends_at_the_date_given() -> None:
    at = datetime(2026, 1, 15, tzinfo=UTC)
    retry = Retry(max_attempts=FOREVER, wait=MINUTE, until=at)
    assert retry.next_run(failures=10**9, now=at - MINUTE) == at
    assert retry.next_run(failures=1, now=at) is None


@pytest.mark.parametrize("repeat_until", [None, timedelta(minutes=30)])
def test_last_date_of_retries_holds_for_the_first_run_and_repeats_have_their_own(
    repeat_until: timedelta | None, queue: Queue, remote: RemoteJob, worker: Simulation,
    clock: FakeClock,
) -> None:  # fmt: skip
    until = None if repeat_until is None else now(clock) + repeat_until
    worker.tasks.task("work")(lambda job: None)
    first = queue.submit(
        "work",
        retry=Retry(max_attempts=3, wait=MINUTE, until=now(clock) + 2 * MINUTE),
        repeat=Repeat(wait=10 * MINUTE, until=until),
    )
    work_off(worker)

    second = remote.job(first.refresh().next_id or "")
    assert second.record.retry == Retry(max_attempts=3, wait=MINUTE, until=until)


def test_repeat_is_tried_again_after_the_date_that_was_given_for_the_first_run(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    runs: list[int] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.attempt)
        if job.origin_id is not None and job.attempt == 1:
            raise ValueError("the repeat fails once")

    retry = Retry(max_attempts=2, wait=MINUTE, until=now(clock) + 2 * MINUTE)
    queue.submit("work", retry=retry, repeat=Repeat(times=1, wait=10 * MINUTE))
    pass_time(worker, clock, installation, minutes=15)

    assert runs == [1, 1, 2]


def test_job_run_again_by_hand_has_its_tries_but_not_their_last_date(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    worker.tasks.task("work")(lambda job: None)
    retry = Retry(max_attempts=3, wait=MINUTE, until=now(clock) + MINUTE)
    job = queue.submit("work", retry=retry)
    work_off(worker)

    assert job.refresh().rerun().record.retry == Retry(max_attempts=3, wait=MINUTE)


def lengths(job: RunningJob) -> list[int]:
    """How much there is to read of the job's data and of its input."""
    with job.open() as stream:
        return [len(job.data), len(stream.read())]


LONG = "long data " * 1000


def test_job_run_again_by_hand_has_what_it_needs_when_the_first_is_removed(
    queue: Queue, worker: Simulation
) -> None:
    worker.tasks.task("work")(lengths)
    job = queue.submit("work", data=LONG, body=b"photo")
    work_off(worker)
    again = job.refresh().rerun(wait=MINUTE)

    job.remove()
    again.make_ready()
    work_off(worker)

    assert again.refresh().result == [len(LONG), 5]


def test_repeat_has_what_it_needs_when_the_first_is_removed(
    queue: Queue, remote: RemoteJob, worker: Simulation, clock: FakeClock,
    installation: Installation,
) -> None:  # fmt: skip
    worker.tasks.task("work")(lengths)
    repeat = Repeat(wait=MINUTE, until=now(clock) + 10 * MINUTE, times=2)
    job = queue.submit("work", data=LONG, body=b"photo", repeat=repeat)
    work_off(worker)
    second = remote.job(job.refresh().next_id or "")

    job.remove()
    pass_time(worker, clock, installation, minutes=1)
    third = remote.job(second.refresh().next_id or "")
    second.remove()
    pass_time(worker, clock, installation, minutes=1)

    assert third.refresh().result == [len(LONG), 5]


def test_restarted_job_keeps_what_is_left_of_its_repeats(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    task = FailsAtFirst(1)
    worker.tasks.task("work")(task)
    job = queue.submit("work", repeat=Repeat(times=2, wait=MINUTE))
    work_off(worker)
    assert job.refresh().state is State.FAILED

    job.restart()
    pass_time(worker, clock, installation, minutes=5)

    assert task.runs == 1 + 3
    assert [one.state for one in queue.jobs()] == [State.COMPLETED] * 3


def test_cancelled_job_that_is_restarted_repeats_as_often_as_it_was_to(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    task = FailsAtFirst(0)
    worker.tasks.task("work")(task)
    repeat = Repeat(times=2, wait=MINUTE)
    job = queue.submit("work", repeat=repeat).cancel().restart()
    assert job.refresh().repeat == repeat

    pass_time(worker, clock, installation, minutes=5)

    assert task.runs == 3


def test_cancelled_job_that_is_restarted_has_all_its_tries_again(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    task = FailsAtFirst(3)
    worker.tasks.task("work")(task)
    job = queue.submit("work", retry=Retry(max_attempts=2, wait=MINUTE))
    work_off(worker)

    job.cancel()
    job.restart()
    pass_time(worker, clock, installation, minutes=5)

    assert task.runs == 1 + 2
    assert job.refresh().state is State.FAILED


def test_every_failed_run_leaves_its_traceback_and_the_last_their_reasons(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    worker.tasks.task("work")(FailsAtFirst(5))
    job = queue.submit("work", retry=Retry(max_attempts=9, wait=MINUTE))
    pass_time(worker, clock, installation, minutes=6)

    assert job.refresh().state is State.COMPLETED
    assert [text.splitlines()[-1] for text in job.tracebacks()] == [
        f"ValueError: failure number {number}" for number in (1, 2, 3, 4, 5)
    ]
    assert [(one.attempt, one.kind, one.message) for one in job.errors] == [
        (number, "ValueError", f"failure number {number}") for number in (3, 4, 5)
    ]
    assert len({one.run_id for one in job.errors}) == 3
    assert (job.record.failures, job.attempt) == (5, 6)


def test_job_that_never_failed_has_no_traceback(queue: Queue, worker: Simulation) -> None:
    worker.tasks.task("work")(lambda job: None)
    job = queue.submit("work")
    work_off(worker)
    assert job.tracebacks() == []


def test_all_waiting_jobs_can_be_made_ready(
    remote: RemoteJob, queue: Queue, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: None)
    jobs = [queue.submit("work", delay=timedelta(days=2)) for _ in range(3)]

    remote.make_jobs_ready(queue.jobs(state=State.WAITING))
    work_off(worker)

    assert {job.refresh().state for job in jobs} == {State.COMPLETED}


def test_option_by_option_a_job_is_as_it_is_when_submitted_at_once(
    queue: Queue, clock: FakeClock
) -> None:
    antecedent = queue.submit("work")
    retry = Retry(max_attempts=6, wait=15 * MINUTE)
    repeat = Repeat(times=3, wait=MINUTE)

    job = (
        queue.new_job("other", {"address": "bozo@clowns.example"})
        .priority(Priority.HIGH)
        .retry(retry)
        .repeat(repeat)
        .delay(60 * MINUTE)
        .depends(antecedent)
        .save()
    )

    assert (job.task, job.data) == ("other", {"address": "bozo@clowns.example"})
    assert (job.priority, job.repeat, job.record.retry) == (-10, repeat, retry)
    assert job.depends == (antecedent.id,)
    assert job.due_at == now(clock) + 60 * MINUTE
    assert job.state is State.WAITING


def test_jobs_of_several_tasks_are_taken_and_say_which_theirs_is(queue: Queue) -> None:
    queue.submit("work")
    queue.submit("other")

    jobs = queue.get_work(["work", "other"], max_jobs=5)

    assert sorted(job.task for job in jobs) == ["other", "work"]


def test_whatever_is_said_of_a_job_is_silent_in_the_workers_log_unless_its_level_is_set(
    queue: Queue, worker: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        job.log("begun")
        job.log("half", level="success")
        job.progress(1, 2)
        job.log("hot", level="warning", data={"celsius": 90})
        job.log("on fire", level="danger")

    def said() -> list[tuple[int, str]]:
        lines = [(one.levelno, one.getMessage()) for one in caplog.records
                 if one.name == "remotejob.job"]  # fmt: skip
        caplog.clear()
        return lines

    queue.submit("work")
    work_off(worker)
    assert said() == []

    with caplog.at_level("WARNING", logger="remotejob.job"):
        queue.submit("work")
        work_off(worker)
    assert said() == [(logging.WARNING, "hot"), (logging.ERROR, "on fire")]

    with caplog.at_level("INFO", logger="remotejob.job"):
        job = queue.submit("work")
        work_off(worker)
        (hot,) = (one for one in caplog.records if one.getMessage() == "hot")
    assert [text for _, text in said()] == ["begun", "half", "1 of 2 done", "hot", "on fire"]
    assert vars(hot)["job"] == job.id
    assert vars(hot)["data"] == {"celsius": 90}


def test_processing_has_the_defaults_of_process_jobs() -> None:
    processing = Processing()
    assert (processing.concurrency, processing.payload, processing.prefetch) == (1, 1, 0)
    assert processing.poll_interval == timedelta(seconds=5)
    assert processing.work_timeout is None
    told = inspect.signature(Queue.process_jobs).parameters
    assert {name: told[name].default for name in asdict(processing)} == asdict(processing)


class Stumbling(MemoryMessages):
    """Refuses the first look."""

    refused = False

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        if not self.refused:
            self.refused = True
            raise ConnectionError("no route to host")
        return super().receive(address, limit=limit, wait=wait, hidden=hidden)


def real_time(messages: type[MemoryMessages] = MemoryMessages, *, task: str = "work") -> Queue:
    clock = SystemClock()
    made = memory_installation(queues={"default": (task,)})
    installation = replace(made, clock=clock, messages=messages(clock), entropy=os.urandom)
    return RemoteJob(installation).queue()


def test_error_while_jobs_are_sought_is_logged_and_they_are_sought_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue, done = real_time(Stumbling), threading.Event()
    queue.submit("work")

    with queue.process_jobs("work", lambda job: done.set(), poll_interval=timedelta(0.0000001)):
        assert done.wait(60)

    (line,) = (one for one in caplog.records if "no route to host" in one.getMessage())
    assert (line.name, line.levelname) == ("remotejob.manual.processor", "ERROR")


def test_function_that_is_called_with_jobs_may_delay_their_dependents() -> None:
    queue = real_time()
    first = queue.submit("work", data="first")
    second = queue.submit("work", depends=[first])

    with queue.process_jobs("work", lambda job: Completion(result=1, delay_dependents=MINUTE)):
        first.wait(60)

    assert first.result == 1
    due, finished = second.refresh().due_at, first.finished_at
    assert due is not None
    assert finished is not None
    assert due >= finished + MINUTE
    assert second.state is State.WAITING


def test_depending_on_nothing_clears_what_was_depended_on(queue: Queue, worker: Simulation) -> None:
    worker.tasks.task("work")(lambda job: None)
    antecedent = queue.submit("work", delay=timedelta(days=1))

    job = queue.new_job("work").depends(antecedent).depends().save()
    work_off(worker)

    assert job.depends == ()
    assert job.refresh().state is State.COMPLETED


def test_restart_can_set_another_last_date(
    queue: Queue, worker: Simulation, clock: FakeClock, installation: Installation
) -> None:
    task = FailsAtFirst(2)
    worker.tasks.task("work")(task)
    until = now(clock)
    job = queue.submit("work", retry=Retry(max_attempts=3, wait=MINUTE, until=until))
    work_off(worker)
    assert job.refresh().state is State.FAILED

    job.restart(retry=Retry(max_attempts=3, wait=MINUTE, until=until + 5 * MINUTE))
    pass_time(worker, clock, installation, minutes=3)

    assert task.runs == 3
    assert job.refresh().state is State.COMPLETED


def test_it_is_full_while_as_many_calls_run_as_may() -> None:
    queue, begun, end = real_time(), threading.Semaphore(0), threading.Event()

    def wait_for_the_end(job: TakenJob) -> None:
        begun.release()
        end.wait()

    processor = queue.process_jobs("work", wait_for_the_end, concurrency=2)
    try:
        assert not processor.full()
        assert processor.idle()
        queue.submit("work")
        processor.trigger()
        assert begun.acquire(timeout=60)
        assert (processor.running(), processor.full(), processor.idle()) == (1, False, False)
        queue.submit("work")
        processor.trigger()
        assert begun.acquire(timeout=60)
        assert (processor.running(), processor.full()) == (2, True)
    finally:
        end.set()
        processor.shutdown()
    assert not processor.full()


def test_shutdown_says_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged goes where the program sends it: here nowhere."""
    for name in (None, *logging.root.manager.loggerDict):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [logging.NullHandler()])
    queue = real_time()
    queue.submit("work")
    for urgency in Urgency:
        queue.process_jobs("work", lambda job: None).shutdown(urgency)
    assert capfd.readouterr() == ("", "")
