"""What a worker counts, and the lines it writes of it."""

from __future__ import annotations

import io
import logging
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Fatal, Job, Queue, RemoteJob, Retry, RunningJob, SettingsError, State
from remotejob.backends.clock import SystemClock
from remotejob.backends.memory import MemoryMessages
from remotejob.container import metrics as lines
from remotejob.container.logs import LineFormatter
from remotejob.domain.errors import LeaseLost
from remotejob.domain.metric_names import Count, Seconds
from remotejob.domain.record import JobRecord
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.metrics import MOST_VALUES, Metrics, Totals
from remotejob.worker.worker import Worker, WorkerOptions
from tests.end_to_end.waiting import until
from tests.observability.embedded_format import Extracted, extracted

MINUTE = timedelta(minutes=1)


@pytest.fixture
def written() -> list[Totals]:
    return []


@pytest.fixture
def metrics(clock: FakeClock, written: list[Totals]) -> Metrics:
    return Metrics(clock=clock, write=written.append)


@pytest.fixture
def worker(installation: Installation, tasks: Registry, metrics: Metrics) -> Simulation:
    counted = Simulation(installation=installation, tasks=tasks)
    counted.handler = MessageHandler(
        installation, tasks, worker="counted", runs=counted.runs, metrics=metrics
    )
    return counted


def counts(metrics: Metrics, written: list[Totals]) -> dict[Count, int]:
    """What was counted since the last call."""
    written.clear()
    metrics.flush()
    return {} if not written else dict(written[0].counts)


def test_each_way_a_run_can_end_is_counted_by_its_name(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    metrics: Metrics,
    written: list[Totals],
) -> None:
    @tasks.task("work", retry=Retry(max_attempts=2, wait=MINUTE))
    def work(job: RunningJob) -> None:
        (run,) = worker.runs.running()
        match job.data:
            case "fail":
                raise ValueError("no")
            case "fail for good":
                raise Fatal("never")
            case "give back":
                settlement = worker.handler.give_back(run, "stopping")
                assert settlement is not None
                worker.settler.add(settlement)
            case "lose":
                run.stop_signal.set(LeaseLost("another has it"))
            case "cancel":
                jobs[-1].cancel()
                clock.advance(timedelta(seconds=30))
                worker.beat()

    jobs: list[Job] = []

    def ended(data: str) -> dict[Count, int]:
        jobs.append(queue.submit("work", data=data))
        worker.step()
        return counts(metrics, written)

    assert ended("complete") == {Count.STARTED: 1, Count.COMPLETED: 1}
    assert ended("fail") == {Count.STARTED: 1, Count.RETRIED: 1}
    clock.advance(2 * MINUTE)
    worker.step()
    assert counts(metrics, written) == {Count.STARTED: 1, Count.FAILED: 1}
    assert ended("fail for good") == {Count.STARTED: 1, Count.FAILED: 1}
    assert ended("cancel") == {Count.STARTED: 1, Count.CANCELLED: 1}
    assert ended("lose") == {Count.STARTED: 1, Count.LEASE_LOST: 1}
    assert ended("give back") == {Count.STARTED: 1, Count.RELEASED: 1}
    assert jobs[-1].refresh().state is State.READY


def test_seconds_are_those_a_job_could_have_begun_and_those_it_ran(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    metrics: Metrics,
    written: list[Totals],
) -> None:
    @tasks.task("work", retry=Retry(max_attempts=2, wait=MINUTE))
    def work(job: RunningJob) -> None:
        clock.advance(timedelta(seconds=2.5))
        if job.data == "fail" and job.attempt == 1:
            raise ValueError("no")

    queue.submit("work", data="fail")
    queue.submit("work", delay=timedelta(minutes=10))
    clock.advance(timedelta(seconds=7))
    worker.step()
    clock.advance(timedelta(minutes=2))
    worker.step()
    clock.advance(timedelta(minutes=8))
    worker.step()

    metrics.flush()
    (totals,) = written
    # the second run of the first job is none that began late; the other waited for nothing but
    # its time, which was 600 s after its submit
    late = 7 + 2.5 + 120 + 2.5 + 480 - 600
    assert totals.seconds[Seconds.QUEUED] == pytest.approx((7, late))
    assert totals.seconds[Seconds.RUNNING] == (2.5, 2.5, 2.5)
    assert totals.counts[Count.STARTED] == 3


def test_sums_are_handed_on_by_the_minute_and_only_where_there_are_any(
    clock: FakeClock, metrics: Metrics, written: list[Totals]
) -> None:
    metrics.received(0)
    clock.advance(MINUTE - timedelta(seconds=1))
    metrics.tick()
    assert not written

    clock.advance(timedelta(seconds=1))
    metrics.tick()
    assert [dict(totals.counts) for totals in written] == [
        {Count.RECEIVES: 1, Count.EMPTY_RECEIVES: 1}
    ]

    for _ in range(5):
        clock.advance(MINUTE)
        metrics.tick()
    assert len(written) == 1


@pytest.mark.parametrize("step", [1, 7919, 49_999], ids=["ever longer", "mixed", "ever shorter"])
def test_many_values_become_few_that_lie_alike(
    metrics: Metrics, written: list[Totals], step: int
) -> None:
    values = [(number * step % 50_000) / 100 for number in range(50_000)]
    for value in values:
        metrics.count(Count.COMPLETED, ran_s=value)
    metrics.flush()

    (totals,) = written
    spread = totals.seconds[Seconds.RUNNING]
    assert totals.counts[Count.COMPLETED] == 50_000
    assert len(spread) == MOST_VALUES
    assert (spread[0], spread[-1]) == (min(values), max(values))
    assert statistics.mean(spread) == pytest.approx(statistics.mean(values), rel=0.02)
    assert spread[49] == pytest.approx(statistics.median(values), rel=0.02)
    assert spread[89] == pytest.approx(statistics.quantiles(values, n=10)[8], rel=0.02)


@pytest.mark.parametrize("number", [1, 98, 99, 100, 2048, 5000])
def test_no_value_is_lost_while_they_are_few_and_the_extremes_never(
    metrics: Metrics, written: list[Totals], number: int
) -> None:
    values = [float((n * 31) % number) for n in range(number)]
    for value in values:
        metrics.started(queued_s=value)
    metrics.flush()

    spread = written[0].seconds[Seconds.QUEUED]
    if number <= MOST_VALUES:
        assert spread == tuple(sorted(values))
    assert len(spread) == min(number, MOST_VALUES)
    assert (spread[0], spread[-1]) == (min(values), max(values))


def test_what_many_threads_count_is_all_there(metrics: Metrics, written: list[Totals]) -> None:
    def count() -> None:
        for _ in range(2000):
            metrics.started(queued_s=0.1)
            metrics.count(Count.COMPLETED, ran_s=0.1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.flush()
    for thread in threads:
        thread.join()
    metrics.flush()

    assert sum(totals.counts.get(Count.STARTED, 0) for totals in written) == 16_000
    assert sum(totals.counts.get(Count.COMPLETED, 0) for totals in written) == 16_000


def test_metrics_that_cannot_be_written_cost_no_work(
    clock: FakeClock, logged: pytest.LogCaptureFixture
) -> None:
    def write(totals: Totals) -> None:
        raise OSError("no room")

    metrics = Metrics(clock=clock, write=write)
    metrics.received(1)
    clock.advance(MINUTE)
    metrics.tick()

    assert "metrics not written" in logged.text


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """What is written of metrics, as a worker writes it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger("remotejob.metrics")
    level = logger.level
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(level)


def read(output: io.StringIO) -> list[Extracted]:
    found = [extracted(line) for line in output.getvalue().splitlines()]
    return [one for one in found if one is not None]


def test_a_line_is_what_cloudwatch_reads(output: io.StringIO) -> None:
    write = lines.writer(system="default", queue="scans")
    write(
        Totals(
            counts=dict.fromkeys(Count, 70_000),
            seconds={what: tuple(map(float, range(MOST_VALUES))) for what in Seconds},
        )
    )

    (line,) = read(output)
    assert line.namespace == "remotejob"
    assert line.dimensions == {"System": "default", "Queue": "scans"}
    assert {name: line.sum(name) for name in Count} == dict.fromkeys(Count, 70_000)
    assert line.values[Seconds.QUEUED] == list(range(MOST_VALUES))
    assert abs(line.at_ms - SystemClock().now_ms()) < 60_000
    assert set(line.values) == {*Count, *Seconds}


def test_what_there_was_none_of_is_not_there(output: io.StringIO) -> None:
    write = lines.writer(system="default", queue="scans")
    write(Totals(counts={Count.RECEIVES: 1}, seconds={}))
    write(Totals(counts={Count.RECEIVES: 2}, seconds={}))

    assert [line.values for line in read(output)] == [{"Receives": [1]}, {"Receives": [2]}]


def test_powertools_own_environment_adds_no_dimension(
    output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "mine")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "mine")
    lines.writer(system="default", queue="scans")(Totals(counts={Count.RECEIVES: 1}, seconds={}))

    (line,) = read(output)
    assert (line.namespace, set(line.dimensions)) == ("remotejob", {"System", "Queue"})


def test_the_environment_turns_metrics_on() -> None:
    assert lines.wanted({"REMOTEJOB_METRICS": "on"})
    assert not lines.wanted({"REMOTEJOB_METRICS": "off"})
    assert not lines.wanted({})


def test_a_switch_that_is_neither_on_nor_off_is_refused() -> None:
    with pytest.raises(SettingsError, match="REMOTEJOB_METRICS='yes': use on or off"):
        lines.wanted({"REMOTEJOB_METRICS": "yes"})


def test_a_worker_that_has_nothing_to_write_does_not_import_what_writes() -> None:
    program = (
        "import sys; from remotejob.container import metrics, logs, __main__;"
        "metrics.writer(system='s', queue='q');"
        "print('aws_lambda_powertools' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == "False"


def test_a_worker_hands_on_what_it_counted_when_it_stops(
    tasks: Registry, logged: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    installation = replace(
        memory_installation(), clock=clock, messages=MemoryMessages(clock), entropy=os.urandom
    )
    tasks.task("work")(lambda job: None)
    written: list[Totals] = []
    options = WorkerOptions(queue="default", name="counted", write_metrics=written.append)
    worker = Worker(installation, tasks, options)
    thread = threading.Thread(target=worker.run)
    thread.start()
    jobs: list[JobRecord] = []
    try:
        queue = RemoteJob(installation).queue()
        jobs += [queue.submit("work").wait(30).record for _ in range(3)]
        # said when it has been counted
        until(lambda: logged.text.count("job completed") == 3, what="the end of every run")
    finally:
        worker.stop()
        worker.stop()
        thread.join()

    (totals,) = written
    assert len(jobs) == 3
    assert totals.counts[Count.STARTED] == totals.counts[Count.COMPLETED] == 3
    assert totals.counts[Count.RECEIVES] >= 3
    assert len(totals.seconds[Seconds.RUNNING]) == 3
