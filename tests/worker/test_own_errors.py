"""A run that fails is recorded with its task's own error, whatever else goes wrong around its end.

Each case is an error of a task, and a second problem between it and the commit.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from remotejob import Completion, Job, RemoteJob, Repeat, Retry, RunningJob, State, TakenJob
from remotejob.client.replay_here import replay_here
from remotejob.domain.record import Failure
from remotejob.domain.text import kind_of, said_by
from remotejob.names import FAILURE_NOTES
from remotejob.ports import Installation
from remotejob.tasks import Registry, registry
from remotejob.testing import Simulation, memory_installation, run_task
from remotejob.worker.executors.executors import Executors
from remotejob.worker.messages import outcomes
from remotejob.worker.messages.handler import MessageHandler
from tests.worker import odd_errors


def ran(
    installation: Installation,
    function: Callable[[RunningJob], Any],
    *,
    retry: Retry | None = None,
    repeat: Repeat | None = None,
) -> Job:
    """A job whose run has ended here, in a thread, as a worker runs it."""
    tasks = Registry()
    tasks.task("work")(function)
    executors = Executors(tasks.values())
    worker = Simulation(installation=installation, tasks=tasks, call=executors.run)
    job = RemoteJob(installation).queue().submit("work", retry=retry, repeat=repeat)
    step(worker)
    return job.refresh()


def step(worker: Simulation) -> None:
    """One step; an error that leaves it is named, as pytest cannot show each of them."""
    try:
        worker.step()
    except BaseException as error:  # noqa: BLE001 (whatever it is)
        escaped = said_by(error)
    else:
        return
    pytest.fail(f"the worker has this error, and the record none: {escaped}")


def own(job: Job) -> Failure:
    """The error that the record ends with, of a job that no worker has to take up again."""
    assert job.state in (State.FAILED, State.WAITING), job.state
    return job.errors[-1]


def fails(job: RunningJob) -> NoReturn:
    raise ValueError("the task's own")


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.fixture(scope="module")
def executors() -> Iterator[Executors]:
    made = Executors([registry[name] for name in odd_errors.NAMES])
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.mark.parametrize("case", sorted(odd_errors.ERRORS))
@pytest.mark.parametrize("name", odd_errors.NAMES)
def test_an_error_with_code_of_its_own_is_recorded_wherever_its_task_runs(
    executors: Executors, name: str, case: str
) -> None:
    system = memory_installation(queues={"default": (name,)})
    job = RemoteJob(system).queue().submit(name, data=case)
    step(Simulation(installation=system, tasks=registry, call=executors.run))
    job.refresh()

    assert (job.state, own(job).kind) == (State.FAILED, odd_errors.kind(case))
    assert own(job).message
    ((_, trace),) = system.store.notes(job.id, FAILURE_NOTES)
    assert odd_errors.kind(case)[:50] in trace


@pytest.mark.parametrize("case", sorted(odd_errors.ERRORS))
def test_an_error_with_code_of_its_own_is_recorded_for_a_job_taken_by_hand(
    installation: Installation, case: str
) -> None:
    queue = RemoteJob(installation).queue()
    job = queue.submit("work")

    begun = threading.Event()

    def work(taken: TakenJob) -> NoReturn:
        begun.set()
        raise odd_errors.made(case)

    with queue.process_jobs("work", work):
        assert begun.wait(30)
    job.refresh()

    assert (job.state, own(job).kind) == (State.FAILED, odd_errors.kind(case))


@pytest.mark.parametrize("case", sorted(odd_errors.ERRORS))
def test_an_error_with_code_of_its_own_comes_to_a_test_and_a_replay(
    installation: Installation, case: str
) -> None:
    def work(job: RunningJob) -> NoReturn:
        raise odd_errors.made(case)

    def raised(call: Callable[[], object]) -> BaseException | None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 (whatever it is)
            return error
        return None

    def named(error: BaseException | None) -> bool:
        return kind_of(error).startswith(case) if error is not None else False

    job = RemoteJob(installation).queue().submit("work")
    assert named(raised(lambda: replay_here(job, tasks=work, on_error="raise")))
    assert raised(lambda: replay_here(job, tasks=work)) is None
    assert replay_here(job, tasks=work).traceback
    assert named(raised(lambda: run_task(work)))
    assert raised(lambda: run_task(work, on_error="keep")) is None


def test_a_span_that_cannot_take_an_error_costs_no_outcome(
    installation: Installation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Span:
        def is_recording(self) -> bool:
            return True

        def record_exception(self, *_: object) -> NoReturn:
            raise RuntimeError("no exporter")

        set_attribute = set_status = record_exception

    monkeypatch.setattr("remotejob.tracing._current_span", Span)

    assert own(ran(installation, fails)).message == "the task's own"
    assert "no exporter" in caplog.text


class Unreadable(Retry):
    """A policy that a task's own code made, and that raises when it is asked."""

    def next_run(self, *, failures: int, now: datetime) -> datetime | None:
        raise LookupError("no such policy")


class Local(Retry):
    """A policy with a time of no zone."""

    def next_run(self, *, failures: int, now: datetime) -> datetime | None:
        return datetime(2026, 6, 1)  # noqa: DTZ001


@pytest.mark.parametrize("retry", [Unreadable(max_attempts=5), Local(max_attempts=5)])
def test_a_retry_policy_that_cannot_be_applied_fails_the_job_with_its_own_error(
    installation: Installation, caplog: pytest.LogCaptureFixture, retry: Retry
) -> None:
    tasks = Registry()
    tasks.task("work", retry=retry)(fails)
    job = RemoteJob(installation).queue().submit("work")
    step(Simulation(installation=installation, tasks=tasks))
    job.refresh()

    assert (job.state, own(job).kind, own(job).message) == (
        State.FAILED,
        "ValueError",
        "the task's own",
    )
    assert "retry policy" in said(caplog)
    assert any("retry policy" in line.message for line in job.logs())


@pytest.mark.parametrize(
    "broken",
    ["remotejob.jobs.coordination.cron.next_due", "remotejob.domain.repeat.Repeat.from_json"],
)
def test_a_repeat_that_cannot_be_computed_fails_the_job_with_its_own_error(
    installation: Installation,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
) -> None:
    def cannot(*_: object, **__: object) -> NoReturn:
        raise LookupError("no such time zone")

    def work(job: RunningJob) -> NoReturn:
        monkeypatch.setattr(broken, cannot)
        fails(job)

    job = ran(installation, work, repeat=Repeat(wait=timedelta(hours=1)))

    assert (job.state, own(job).message) == (State.FAILED, "the task's own")
    assert "successor" in said(caplog)


@pytest.mark.parametrize("part", ["Reporter.last_report", "RunUsage.at_end"])
@pytest.mark.parametrize("function", [fails, lambda job: "done"], ids=["fails", "returns"])
def test_a_report_that_cannot_be_encoded_costs_no_outcome(
    installation: Installation,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    function: Callable[[RunningJob], Any],
) -> None:
    module = {"Reporter": "report", "RunUsage": "usage"}[part.partition(".")[0]]

    def cannot(*_: object, **__: object) -> NoReturn:
        raise TypeError("not JSON")

    monkeypatch.setattr(f"remotejob.worker.runs.{module}.{part}", cannot)
    job = ran(installation, function)

    if function is fails:
        assert (job.state, own(job).message) == (State.FAILED, "the task's own")
    else:
        assert (job.state, job.result) == (State.COMPLETED, "done")
    assert "not JSON" in caplog.text


def test_a_logger_of_the_tasks_that_raises_costs_no_outcome(installation: Installation) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> NoReturn:
            raise ValueError("a filter of the task's")

    logger, broken = logging.getLogger(outcomes.__name__), Broken()

    def work(job: RunningJob) -> NoReturn:
        logger.addFilter(broken)
        fails(job)

    try:
        job = ran(installation, work)
    finally:
        logger.removeFilter(broken)

    assert (job.state, own(job).message) == (State.FAILED, "the task's own")


@pytest.mark.parametrize("name", ["argv", "path"])
@pytest.mark.parametrize("function", [fails, lambda job: "done"], ids=["fails", "returns"])
def test_what_a_task_broke_around_it_costs_no_outcome(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    function: Callable[[RunningJob], Any],
) -> None:
    before = list(getattr(sys, name))
    monkeypatch.setattr(sys, name, before)

    def work(job: RunningJob) -> Any:
        setattr(sys, name, None)
        return function(job)

    job = ran(installation, work)

    assert getattr(sys, name) == before
    if function is fails:
        assert (own(job).kind, own(job).message) == ("ValueError", "the task's own")
    else:
        assert job.result == "done"


def test_a_full_disk_is_given_back_though_nobody_could_be_told(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot() -> NoReturn:
        raise RuntimeError("no supplies")

    def work(job: RunningJob) -> NoReturn:
        raise OSError(28, "no space left on the device")

    tasks = Registry()
    tasks.task("work")(work)
    job = RemoteJob(installation).queue().submit("work")
    worker = Simulation(installation=installation, tasks=tasks)
    worker.handler = MessageHandler(
        installation, tasks, worker="a", runs=worker.runs, on_no_space=cannot
    )
    step(worker)

    assert job.refresh().state is State.READY
    assert "no supplies" in caplog.text


def test_a_result_whose_own_code_ends_the_process_fails_the_job(
    installation: Installation,
) -> None:
    class Exits(dict[str, Any]):
        def items(self) -> NoReturn:
            raise SystemExit(3)

    job = ran(installation, lambda job: Completion(result=Exits(a=1)))

    assert (job.state, own(job).kind) == (State.FAILED, "SystemExit")
