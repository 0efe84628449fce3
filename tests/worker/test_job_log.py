"""The log of a job: the record keeps the end of it, and `logs()` gives all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remotejob import Queue, Retry, State
from remotejob.domain.job_log import LOG_TAIL_LINES, log_lines
from remotejob.names import LOG_NOTES
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation

BEAT = timedelta(seconds=20)


def test_a_few_short_lines_stay_in_the_record_alone(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.log("one")
        job.log("two", level="warning", data={"n": 2})

    job = queue.submit("work")
    worker.step()

    first, second = job.refresh().logs()
    assert (first.number, first.level, first.message, first.data) == (0, "info", "one", None)
    assert (second.number, second.level, second.data) == (1, "warning", {"n": 2})
    assert list(installation.store.notes(job.id, LOG_NOTES)) == []


@pytest.mark.parametrize("count", [LOG_TAIL_LINES + 1, 99, 100, 101, 450])
def test_of_many_lines_the_record_keeps_the_last_and_logs_gives_all(
    queue: Queue, worker: Simulation, tasks: Registry, count: int
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(count):
            job.log(f"line {number}")

    job = queue.submit("work")
    worker.step()
    job.refresh()

    tail = [line.message for line in job.record.log_tail]
    assert tail == [f"line {number}" for number in range(count)][-LOG_TAIL_LINES:]
    assert [line.message for line in job.logs()] == [f"line {number}" for number in range(count)]
    assert [line.number for line in job.logs()] == list(range(count))
    assert job.record.log_count == count


def test_lines_logged_between_heartbeats_are_all_kept(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    expected: list[str] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for beat, count in enumerate((1, 3, 30, 0, 7, 1)):
            for number in range(count):
                expected.append(f"{beat}.{number}")
                job.log(expected[-1])
            clock.advance(BEAT)
            worker.beat()

    job = queue.submit("work")
    worker.step()

    assert [line.message for line in job.refresh().logs()] == expected
    assert job.state is State.COMPLETED


def test_a_heartbeat_shows_what_was_logged(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    seen: list[list[str]] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(20):
            job.log(f"line {number}")
        clock.advance(BEAT)
        worker.beat()
        seen.append([line.message for line in submitted.refresh().logs()])

    submitted = queue.submit("work")
    worker.step()
    assert seen == [[f"line {number}" for number in range(20)]]


@pytest.mark.parametrize("counts", [(2, 2), (2, 40), (3, 3), (40, 2), (40, 40)])
def test_the_log_goes_on_over_two_attempts(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    counts: tuple[int, int],
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(counts[job.attempt - 1]):
            job.log(f"attempt {job.attempt}, line {number}")
        if job.attempt == 1:
            raise ValueError("once")

    job = queue.submit("work", retry=Retry(max_attempts=2, wait=timedelta(minutes=1)))
    worker.step()
    clock.advance(timedelta(minutes=1))
    worker.step()

    assert job.refresh().state is State.COMPLETED
    assert [line.message for line in job.logs()] == [
        f"attempt {attempt}, line {number}"
        for attempt in (1, 2)
        for number in range(counts[attempt - 1])
    ]
    assert [line.number for line in job.logs()] == list(range(sum(counts)))


def test_each_heartbeat_writes_its_own_lines_into_a_note_and_no_others(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for _ in range(4):
            for number in range(30):
                job.log(f"line {number}")
            clock.advance(BEAT)
            worker.beat()

    job = queue.submit("work")
    worker.step()

    notes = [
        [line.number for line in log_lines(text)]
        for _name, text in installation.store.notes(job.id, LOG_NOTES)
    ]
    assert notes == [list(range(start, start + 30)) for start in (0, 30, 60, 90)]


def test_a_long_line_is_whole_in_the_log_and_short_in_the_record(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        job.log("x" * 3000, data=list(range(200)))
        job.log("short")

    job = queue.submit("work")
    worker.step()

    long, short = job.refresh().logs()
    assert (long.message, long.data) == ("x" * 3000, list(range(200)))
    assert short.message == "short"
    assert len(job.record.log_json or "") < 600


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_the_log_outlives_the_run_however_it_ends(
    queue: Queue, worker: Simulation, tasks: Registry, outcome: str
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for number in range(10):
            job.log(f"line {number}")
        if outcome == "failed":
            raise ValueError("no")

    job = queue.submit("work")
    worker.step()

    assert job.refresh().state == outcome
    assert len(job.logs()) == 10
