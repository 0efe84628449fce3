"""The worker's log: each event one line of JSON, which says whose run it is of."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remotejob import Fatal, Queue, Retry, RunningJob
from remotejob.container.logs import LineFormatter
from remotejob.domain.errors import LeaseLost
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.names import Env
from remotejob.ports import Area, Installation
from remotejob.settings import parse
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.runs.log_context import JobContext, JobFields, current, job_context

mine = logging.Logger("somebody.elses.code")
"""Which no handler of pytest's sees: it fails where a line has to be mended."""

Lines = Callable[[], list[dict[str, Any]]]

CONTEXT = JobContext(job="1", queue="scans", task="work", run="2", attempt=3, tenant="acme")
FIELDS = {
    "job": "1", "queue": "scans", "task": "work", "run": "2", "attempt": 3, "tenant": "acme",
}  # fmt: skip


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What has been logged, as a worker writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(LineFormatter())
    handler.addFilter(JobFields())
    loggers = [logging.getLogger("remotejob"), mine]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    yield lambda: [json.loads(line, parse_constant=_refuse) for line in _split(written.getvalue())]
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _split(text: str) -> list[str]:
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_a_plain_job_writes_one_line_which_says_all_about_it(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock, lines: Lines
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        clock.advance(timedelta(seconds=1.5))

    job = queue.submit("work", tenant="acme")
    worker.step()

    (line,) = lines()
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert line == {
        "level": "INFO",
        "logger": "remotejob.worker.messages.handler",
        "process": os.getpid(),
        "message": "job completed",
        "job": job.id,
        "queue": "default",
        "task": "work",
        "run": job.refresh().record.run_id,
        "attempt": 1,
        "tenant": "acme",
        "ran_s": 1.5,
    }


def test_what_the_tasks_own_code_logs_has_the_fields_of_its_run(
    queue: Queue, worker: Simulation, tasks: Registry, lines: Lines
) -> None:
    seen: list[RunningJob] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        seen.append(job)
        mine.info("in the call")
        asyncio.run(later())
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(mine.info, "in a thread")
        )
        thread.start()
        thread.join()

    async def later() -> None:
        await asyncio.gather(*(within(number) for number in range(2)))

    async def within(number: int) -> None:
        await asyncio.sleep(0)
        mine.info("in a coroutine", extra={"number": number})

    queue.submit("work")
    worker.step()
    mine.info("after it")

    *own, end, after = lines()
    assert [line["message"] for line in own] == [
        "in the call", "in a coroutine", "in a coroutine", "in a thread",
    ]  # fmt: skip
    (job,) = seen
    expected = {
        "job": job.id, "queue": "default", "task": "work", "run": job.run_id, "attempt": 1,
    }  # fmt: skip
    for line in (*own, end):
        assert {name: line[name] for name in expected} == expected
    assert [line.get("number") for line in own] == [None, 0, 1, None]
    assert not set(after) & set(FIELDS)
    assert current() is None


def test_each_line_about_a_job_that_fails_says_which(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock, lines: Lines
) -> None:
    @tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(minutes=1)))
    def work(job: RunningJob) -> None:
        raise ValueError("the page\nis blank")

    job = queue.submit("work", tenant="acme")
    worker.step()
    clock.advance(timedelta(minutes=2))
    worker.step()

    written = lines()
    assert [(line["attempt"], line["level"]) for line in written] == [
        (1, "WARNING"), (2, "WARNING"), (2, "INFO"),
    ]  # fmt: skip
    assert {(line["job"], line["tenant"], line["task"]) for line in written} == {
        (job.id, "acme", "work")
    }
    assert "the page\nis blank" in written[0]["message"]


def test_a_job_of_a_task_that_is_not_here_is_named_too(
    queue: Queue, worker: Simulation, lines: Lines
) -> None:
    job = queue.submit("work", tenant="acme")
    worker.step()

    (line,) = lines()
    about = {name: line[name] for name in ("job", "queue", "task", "tenant")}
    assert about == {"job": job.id, "queue": "default", "task": "work", "tenant": "acme"}


def test_a_message_that_is_left_to_another_run_names_the_job(
    queue: Queue, worker: Simulation, tasks: Registry, lines: Lines
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        (run,) = worker.runs.running()
        run.stop_signal.set(LeaseLost("another has it"))

    job = queue.submit("work", tenant="acme")
    worker.step()

    abandoned, left = lines()
    assert abandoned["message"] == "run abandoned: another has it"
    assert left["message"] == "message left to the run that owns the job"
    for line in (abandoned, left):
        about = {name: line[name] for name in ("job", "queue", "task", "tenant")}
        assert about == {"job": job.id, "queue": "default", "task": "work", "tenant": "acme"}


def test_a_run_that_lasts_says_so_while_it_does(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock, lines: Lines
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> None:
        for _ in range(3):
            clock.advance(timedelta(seconds=25))
            worker.beat()

    job = queue.submit("work")
    worker.step()

    written = lines()
    assert [line["message"] for line in written] == ["run goes on", "job completed"]
    assert {line["job"] for line in written} == {job.id}


def test_a_line_that_names_a_job_by_itself_is_not_mixed_with_the_one_that_runs(
    lines: Lines,
) -> None:
    with job_context(CONTEXT):
        mine.info("of another", extra={"job": "9"})
        mine.info("of none", extra={"queue": "mine"})

    other, own = lines()
    assert {name: other.get(name) for name in FIELDS} == {**dict.fromkeys(FIELDS), "job": "9"}
    assert {name: own[name] for name in FIELDS} == {**FIELDS, "queue": "mine"}


def test_what_every_line_says_no_extra_can_say_otherwise(lines: Lines) -> None:
    mine.warning("it is so", extra={"level": "x", "time": "never", "logger": "q"})

    (line,) = lines()
    assert (line["level"], line["logger"]) == ("WARNING", mine.name)
    assert line["time"] > "2026"
    assert [line[f"extra_{name}"] for name in ("level", "time", "logger")] == ["x", "never", "q"]


def test_an_error_is_printed_within_its_line(lines: Lines) -> None:
    def fail() -> None:
        raise Fatal("no\npage")

    try:
        fail()
    except Fatal:
        mine.exception("it failed", stack_info=True)

    (line,) = lines()
    assert line["exc_info"].startswith("Traceback (most recent call last):\n")
    assert line["exc_info"].endswith("Fatal: no\npage")
    assert "Stack (most recent call last)" in line["stack_info"]


def test_the_functions_name_a_job_by_the_same_fields(
    installation: Installation, clock: FakeClock, lines: Lines
) -> None:
    settings = parse(
        {"queues": {"default": {"tasks": ["work"]}}, "routes": [{"task": "work", "prefix": "in/"}]}
    )
    upload = Upload(
        bucket=installation.files.bucket(Area.INPUT),
        key="in/page.tif",
        size=1,
        etag="e",
        version="v",
        sequencer=None,
        at_ms=clock.now_ms(),
    )
    record = ingest(upload, settings, installation)

    assert record is not None
    (line,) = lines()
    assert {name: line[name] for name in ("job", "queue", "task", "key")} == {
        "job": record.id, "queue": "default", "task": "work", "key": "in/page.tif",
    }  # fmt: skip


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("never")

    __str__ = __repr__


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        {1, 2},
        b"\xff\x00",
        {("a", "b"): 1},
        CIRCLE,
        object(),
        Unspeakable(),
        float("nan"),
        {"deep": [float("inf")]},
        "\ud800 half a letter",
        "line\nbreak\u2028and another\r",
        ValueError("an error"),
    ],
    ids=[
        "time", "set", "bytes", "key", "circle", "object", "unspeakable", "nan", "infinity",
        "surrogate", "breaks", "error",
    ],
)  # fmt: skip
def test_what_json_cannot_write_costs_no_line(lines: Lines, value: object) -> None:
    mine.info("it was %s", "said", extra={"value": value, "next": 1})
    mine.info(value)

    first, second = lines()
    assert (first["message"], first["next"]) == ("it was said", 1)
    assert "value" in first
    assert second["logger"] == mine.name


def test_arguments_that_do_not_fit_cost_no_line(lines: Lines) -> None:
    with job_context(CONTEXT):
        mine.info("%d of %d", "one")

    (line,) = lines()
    assert line["message"] == "%d of %d ('one',)"
    assert line["job"] == "1"


PROGRAM = """
import logging, os, threading, warnings
{before}
from remotejob.container.logs import log_as_json
log_as_json()
logging.getLogger("botocore").info("a request")
logging.getLogger("a").debug("details")
logging.getLogger("a").info("news")
warnings.warn("old ways", DeprecationWarning)
thread = threading.Thread(target=lambda: 1 / 0, name="lane-high")
thread.start()
thread.join()
raise KeyError("gone")
"""


def written(level: str | None, *, before: str = "") -> tuple[list[dict[str, Any]], str]:
    """The lines of a process that logs at a level, and what else it says."""
    environment = {"PYTHONPATH": ".", "PYTHONWARNINGS": "always"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=environment if level is None else {**environment, Env.LOG_LEVEL.value: level},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr


def test_warnings_and_the_ends_of_threads_and_of_the_process_are_lines_too() -> None:
    lines, background = written(None)

    news, warning, thread, process = lines
    assert news["message"] == "news"
    assert (warning["logger"], warning["level"]) == ("py.warnings", "WARNING")
    assert thread["message"] == "thread lane-high ends: ZeroDivisionError"
    assert "division by zero" in thread["exc_info"]
    assert (process["level"], process["message"]) == ("CRITICAL", "the process ends: KeyError")
    assert background == ""


@pytest.mark.parametrize(
    ("level", "count"), [("DEBUG", 5), ("info", 4), ("Warning", 3), ("error", 2), ("critical", 2)]
)
def test_the_environment_says_from_which_level_on(level: str, count: int) -> None:
    lines, _ = written(level)

    assert len(lines) == count
    assert not [line for line in lines if line["logger"] == "botocore"]


def test_a_level_there_is_not_is_refused_in_a_line() -> None:
    lines, _ = written("loud")

    assert "REMOTEJOB_LOG_LEVEL='loud': use one of debug, info" in lines[-1]["exc_info"]


def test_handlers_that_others_have_set_up_stay() -> None:
    before = "import sys; logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))"

    _, background = written(None, before=before)

    assert "news" in background.splitlines()
