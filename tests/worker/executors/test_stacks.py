"""Where a task stood that was stopped, or whose process crashed: told with its error."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    AsyncRunningJob,
    Job,
    JobCancelled,
    Queue,
    RemoteJob,
    RunInterrupted,
    RunningJob,
    State,
)
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors.executors import Executors
from tests.end_to_end.waiting import PATIENCE, until
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import going_on, told

Timed = Callable[[float], AbstractContextManager[Job]]

MINUTE = timedelta(minutes=1)
OURS = "executors/"
"""Part of the paths of the code that calls a task, which its author does not want to see."""


def stood(job: Job) -> str:
    """The note beneath the error."""
    (traceback,) = job.refresh().tracebacks()
    _, _, told = traceback.partition("Its task stood here")
    return told


@pytest.fixture
def here(tasks: Registry, clock: FakeClock) -> Iterator[Simulation]:
    """A worker of tasks that a test makes: in threads and on the event loop."""
    executors = Executors(())
    installation = memory_installation(clock, lease=10 * MINUTE)
    yield Simulation(installation=installation, tasks=tasks, call=executors.run)
    executors.close(within=MINUTE)


@pytest.fixture
def here_queue(here: Simulation) -> Queue:
    return RemoteJob(here.installation).queue()


def wait_for_nothing(over: threading.Event) -> None:
    over.wait()


@pytest.fixture
def timed(here_queue: Queue, here: Simulation, tasks: Registry, clock: FakeClock) -> Timed:
    """A job in a thread, so many seconds after it began; at the end its task calls the library."""
    begun, over = threading.Event(), threading.Event()

    @tasks.task("work", timeout=MINUTE)
    def work(job: RunningJob) -> None:
        begun.set()
        wait_for_nothing(over)
        job.check()

    @contextmanager
    def begin(seconds: float) -> Iterator[Job]:
        job = here_queue.submit("work")
        with going_on(here):
            assert begun.wait(PATIENCE)
            # told first, and ended over its head with a later beat
            for _ in range(5):
                clock.advance(timedelta(seconds=seconds / 5))
                here.beat()
            yield job
            over.set()

    return begin


def test_a_thread_that_takes_no_notice_of_its_timeout(timed: Timed) -> None:
    with timed(100) as job:
        until(lambda: job.refresh().ended, what="the end of the run, over its head")

    assert job.errors[0].kind == "TimedOut"
    lines = stood(job).splitlines()
    (outer,) = (n for n, line in enumerate(lines) if "in work" in line)
    (inner,) = (n for n, line in enumerate(lines) if "in wait_for_nothing" in line)
    assert outer == 1, "nothing of the worker's"
    assert inner > outer, "the most recent call last"
    assert "over.wait()" in lines[inner + 1]


def test_a_thread_that_takes_notice_stands_where_it_did(timed: Timed) -> None:
    with timed(61) as job:
        pass

    (traceback,) = job.refresh().tracebacks()
    raised, _, told = traceback.partition("Its task stood here")
    assert "job.check()" in raised
    assert "wait_for_nothing" in told


def test_a_cancelled_task_learns_only_that(
    here_queue: Queue, here: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    begun, over = threading.Event(), threading.Event()
    told: list[BaseException] = []

    @tasks.task("work", timeout=10 * MINUTE)
    def work(job: RunningJob) -> None:
        begun.set()
        over.wait()
        try:
            job.check()
        except RunInterrupted as reason:
            told.append(reason)
            raise

    job = here_queue.submit("work")
    with going_on(here):
        assert begun.wait(PATIENCE)
        job.cancel()
        clock.advance(4 * MINUTE)
        here.beat()
        over.set()

    (reason,) = told
    assert isinstance(reason, JobCancelled)
    assert not hasattr(reason, "__notes__")


class Tick:
    """What a library may have to be awaited: no coroutine."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from never()


def never() -> Generator[Any, None, None]:
    yield from asyncio.get_running_loop().create_future().__await__()


async def awaits_for_ever(begun: threading.Event) -> None:
    begun.set()
    await Tick()


def test_a_handler_on_the_loop(
    here_queue: Queue, here: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    begun = threading.Event()

    @tasks.task("work", timeout=MINUTE)
    async def work(job: AsyncRunningJob) -> None:
        await awaits_for_ever(begun)

    job = here_queue.submit("work")
    with going_on(here):
        assert begun.wait(PATIENCE)
        clock.advance(timedelta(seconds=61))
        here.beat()

    lines = stood(job).splitlines()
    seen = [line.rpartition(" in ")[2] for line in lines if line.startswith("  File")]
    assert seen == ["work", "awaits_for_ever", "__await__", "never"]
    assert "await Tick()" in "\n".join(lines)


def test_a_process_that_is_killed_for_its_timeout(
    queue: Queue, worker: Simulation, clock: FakeClock, tmp_path: Path
) -> None:
    job = queue.submit("timed", data={"do": "ignore", "told": str(tmp_path / "told")})
    with going_on(worker):
        told(tmp_path / "told")
        clock.advance(timedelta(seconds=61))
        worker.beat()

    assert job.refresh().errors[0].kind == "TimedOut"
    text = stood(job)
    assert text.index("in do_ignore") < text.index("in timed"), "the most recent call first"
    assert OURS + "here.py" not in text
    assert OURS + "child.py" not in text


def test_a_process_that_takes_notice_of_its_timeout(
    queue: Queue, worker: Simulation, clock: FakeClock, tmp_path: Path
) -> None:
    paths = {"told": str(tmp_path / "told"), "noticed": str(tmp_path / "noticed")}
    job = queue.submit("patient-timed", data={"do": "notice", **paths})
    with going_on(worker):
        told(tmp_path / "told")
        clock.advance(timedelta(seconds=61))
        worker.beat()

    assert job.refresh().errors[0].kind == "TimedOut"
    assert "in do_notice" in stood(job)
    assert "job.check()" in stood(job)


def test_a_process_that_crashes(done: Done) -> None:
    text = stood(done("segfault"))

    assert "Segmentation fault" in text
    assert text.index("in string_at") < text.index("in do_segfault")
    assert OURS + "here.py" not in text


def test_a_process_that_ends_otherwise_says_nothing_of_what_was_before(done: Done) -> None:
    before = done("ask_where_it_stands")
    assert before.state is State.COMPLETED

    job = done("exit", status=3, pid=before.result)

    assert job.errors[0].message.endswith("exit status 3")
    assert stood(job) == ""
