"""Async tasks on the worker's one event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    AsyncRunningJob,
    Fatal,
    InvalidName,
    NoInput,
    Queue,
    RemoteJob,
    State,
)
from remotejob.domain.errors import TimedOut, WorkerStopping
from remotejob.ports import Received
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors import event_loop
from remotejob.worker.executors.executors import Executors
from remotejob.worker.runs.log_context import current
from tests.end_to_end.waiting import PATIENCE, until
from tests.progress import reported
from tests.worker.executors.scenes import going_on

SOON = timedelta(seconds=10)


@pytest.fixture
def executors(tasks: Registry) -> Iterator[Executors]:
    made = Executors(())
    yield made
    made.close(within=SOON)


@pytest.fixture
def worker(clock: FakeClock, tasks: Registry, executors: Executors) -> Simulation:
    return Simulation(installation=memory_installation(clock), tasks=tasks, call=executors.run)


@pytest.fixture
def queue(worker: Simulation) -> Queue:
    return RemoteJob(worker.installation).queue()


def test_an_async_task_has_all_that_a_task_has(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> Any:
        job.progress(1, 2)
        job.log("begun", data={"of": job.filename})
        job.check()
        async with await job.open() as stream:
            head = await stream.read(3)
            rest = b"".join([chunk async for chunk in stream])
        path = await job.download()
        await job.output("copy", path)
        await job.checkpoint([len(rest)])
        await job.output("again", head + rest, content_type="text/plain")
        assert not job.cancelled
        assert await job.resumed_from() is None
        seen = [job.id, job.task, job.queue, job.attempt, job.run_id, job.priority]
        return {"data": await job.data(), "seen": seen, "left": job.time_left()}

    job = queue.submit("work", body=b"abcdef" * 500_000, filename="in.txt", data=[1])
    worker.step()
    assert job.refresh().state is State.COMPLETED, job.errors
    seen = [job.id, "work", "default", 1, job.record.run_id, 0]
    assert job.result == {"data": [1], "seen": seen, "left": None}
    assert reported(job) == (1.0, 2.0)
    assert [(line.message, line.data) for line in job.logs()] == [("begun", {"of": "in.txt"})]
    assert job.outputs["copy"].open().read() == b"abcdef" * 500_000
    assert job.outputs["again"].open().read() == b"abcdef" * 500_000
    assert job.outputs["again"].content_type == "text/plain"


def test_async_tasks_wait_concurrently_in_one_thread(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    met: list[tuple[int, asyncio.Event]] = []

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> int:
        # each waits for the last to come: one after the other none would end
        met.append((threading.get_ident(), asyncio.Event()))
        if len(met) == 5:
            for _, event in met:
                event.set()
        await met[-1][1].wait()
        return job.priority

    jobs = [queue.submit("work") for _ in range(5)]
    _each_in_a_thread(worker, worker.receive())
    assert all(job.refresh().state is State.COMPLETED for job in jobs)
    threads = {thread for thread, _ in met}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_errors_of_async_tasks_are_raised_as_they_are(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    raised = iter([InvalidName("no"), Fatal("never"), TimeoutError("its own"), SystemExit(3)])

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        raise next(raised)

    kinds = []
    for _ in range(4):
        job = queue.submit("work")
        worker.step()
        kinds.append(job.refresh().errors[0].kind)
    assert kinds == ["InvalidName", "Fatal", "TimeoutError", "SystemExit"]


def test_a_library_call_raises_into_the_async_task(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> str:
        with pytest.raises(NoInput):
            await job.open()
        return "as it should"

    job = queue.submit("work")
    worker.step()
    assert job.refresh().result == "as it should"


def test_a_cancelled_job_cancels_its_await(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            # what it does to clean up may wait in turn
            await asyncio.sleep(0)
            cleaned.set()

    job = queue.submit("work")
    with going_on(worker):
        assert begun.wait(PATIENCE)
        job.cancel()
        clock.advance(timedelta(seconds=25))
        worker.beat()
        worker.beat()
    assert cleaned.is_set()
    assert job.refresh().state is State.CANCELLED


def test_a_timeout_of_an_async_task_is_a_failed_attempt(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    begun, cleaning, cleaned = threading.Event(), threading.Event(), threading.Event()
    go = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    @tasks.task("work", timeout=timedelta(minutes=5))
    async def work(job: AsyncRunningJob) -> None:
        loops.append(asyncio.get_running_loop())
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await go.wait()
            cleaned.set()

    job = queue.submit("work")
    with going_on(worker):
        assert begun.wait(PATIENCE)
        for _ in range(15):
            clock.advance(timedelta(seconds=20))
            worker.beat()
        assert cleaning.wait(PATIENCE)
        # told again, it is not cancelled again
        clock.advance(timedelta(seconds=5))
        worker.beat()
        loops[0].call_soon_threadsafe(go.set)
    assert cleaned.is_set()
    assert [(one.kind, one.attempt) for one in job.refresh().errors] == [("TimedOut", 1)]


def test_an_async_task_that_cancels_itself_fails(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        raise asyncio.CancelledError

    job = queue.submit("work")
    worker.step()
    assert job.refresh().errors[0].kind == "CancelledError"


def test_lines_of_the_log_know_the_job_of_their_coroutine(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> list[str]:
        here = current()
        background = await asyncio.to_thread(current)
        assert here is not None
        assert background is not None
        return [here.job, background.job]

    jobs = [queue.submit("work") for _ in range(3)]
    worker.step()
    assert [job.refresh().result for job in jobs] == [[job.id, job.id] for job in jobs]


def test_a_handler_that_blocks_the_loop_is_named_in_the_log(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_loop, "_BLOCKED", 0.05)
    go = threading.Event()

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        go.wait(PATIENCE)

    job = queue.submit("work")
    with caplog.at_level(logging.WARNING), going_on(worker):
        until(lambda: "the event loop is blocked" in caplog.text, what="the warning")
        go.set()
    assert "go.wait(PATIENCE)" in caplog.text
    assert job.refresh().state is State.COMPLETED


@pytest.mark.exhaustive
def test_a_handler_that_awaits_blocks_nothing(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_loop, "_BLOCKED", 1.0)

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        await asyncio.sleep(2.5)

    job = queue.submit("work")
    worker.step()
    assert job.refresh().state is State.COMPLETED
    assert "blocked" not in caplog.text


def test_a_run_that_is_stopped_before_its_first_step_ends(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    begun, go = threading.Event(), threading.Event()

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        assert not begun.is_set(), "the second is not to begin"
        begun.set()
        go.wait(PATIENCE)

    first, second = queue.submit("work"), queue.submit("work")
    messages = sorted(worker.receive(), key=lambda message: first.id not in message.body)
    thread = threading.Thread(target=_each_in_a_thread, args=(worker, messages[:1]))
    thread.start()
    assert begun.wait(PATIENCE)
    other = threading.Thread(target=_each_in_a_thread, args=(worker, messages[1:]), daemon=True)
    other.start()
    run = until(
        lambda: next((run for run in worker.runs.running() if run.job_id == second.id), None),
        what="the second run",
    )
    # where it waits for its first step: the loop is held up by the first
    until(lambda: run.stop_signal._stoppable, what="its place on the loop")
    run.stop_signal.set(TimedOut("its time is over"))
    go.set()
    for one in (thread, other):
        one.join(PATIENCE)
        assert not one.is_alive()
    assert first.refresh().state is State.COMPLETED
    assert [(one.kind, one.message) for one in second.refresh().errors] == [
        ("TimedOut", "its time is over")
    ]


def test_a_handler_that_ends_when_the_wait_for_it_does_has_its_result(
    queue: Queue, worker: Simulation, tasks: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(Future[Any]):
        """Ends as the time to wait for it is over."""

        def result(self, timeout: float | None = None) -> Any:
            ended = super().result(PATIENCE)
            if timeout is not None:
                raise TimeoutError
            return ended

    monkeypatch.setattr(event_loop, "Future", Late)

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> int:
        return 7

    job = queue.submit("work")
    worker.step()
    assert job.refresh().state is State.COMPLETED, job.errors
    assert job.result == 7


def test_closing_cancels_what_runs_and_nothing_begins_after(
    queue: Queue, worker: Simulation, tasks: Registry, executors: Executors
) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    @tasks.task("work")
    async def work(job: AsyncRunningJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    job = queue.submit("work")
    with going_on(worker):
        assert begun.wait(PATIENCE)
        (run,) = worker.runs.running()
        run.stop_signal.set(WorkerStopping("the worker is stopping"))
        executors.close(within=SOON)
    assert cleaned.is_set()
    assert job.refresh().state is State.READY
    assert "event-loop" not in {thread.name for thread in threading.enumerate()}
    worker.step()
    assert job.refresh().record.releases == 2


def test_the_loop_is_begun_with_the_first_async_job(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: None)
    queue.submit("work")
    worker.step()
    assert "event-loop" not in {thread.name for thread in threading.enumerate()}


def _each_in_a_thread(worker: Simulation, messages: list[Received]) -> None:
    def attend(message: Received) -> None:
        settlement = worker.handler.attend(message)
        assert settlement is not None
        worker.settler.add(settlement)

    threads = [threading.Thread(target=attend, args=(message,)) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    worker.settler.flush()
