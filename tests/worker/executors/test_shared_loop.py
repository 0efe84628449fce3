"""What one async task does to the event loop, and what the others notice: nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from remotejob import AsyncRunningJob, Job, Queue, RemoteJob, Retry, State
from remotejob.domain.errors import TimedOut
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors import event_loop
from remotejob.worker.executors.executors import Executors
from tests.end_to_end.waiting import PATIENCE, until

Deed = Callable[[AsyncRunningJob], Awaitable[Any]]


@pytest.fixture
def executors(tasks: Registry) -> Iterator[Executors]:
    made = Executors(())
    yield made
    made.close(within=timedelta(seconds=10))


@pytest.fixture
def worker(clock: FakeClock, tasks: Registry, executors: Executors) -> Simulation:
    return Simulation(
        installation=memory_installation(clock, queues={"default": ("culprit", "other")}),
        tasks=tasks,
        call=executors.run,
    )


@pytest.fixture
def queue(worker: Simulation) -> Queue:
    return RemoteJob(worker.installation).queue()


@contextmanager
def under_way(worker: Simulation, job: Job) -> Iterator[threading.Thread]:
    """Run one job on a thread of its own, and wait for its end."""
    (message,) = (one for one in worker.receive() if job.id in one.body)

    def attend() -> None:
        settlement = worker.handler.attend(message)
        if settlement is not None:
            worker.settler.add(settlement)

    thread = threading.Thread(target=attend, daemon=True)
    thread.start()
    yield thread
    thread.join(PATIENCE)
    assert not thread.is_alive()
    worker.settler.flush()


async def shuts_the_pool_down(job: AsyncRunningJob) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(int)
    await loop.shutdown_default_executor()


async def stops_the_loop(job: AsyncRunningJob) -> None:
    asyncio.get_running_loop().stop()


async def stops_the_loop_later(job: AsyncRunningJob) -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)
    await asyncio.sleep(0)


async def stops_the_loop_from_a_thread(job: AsyncRunningJob) -> None:
    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    thread.start()
    await asyncio.sleep(0.05)


async def closes_the_loop(job: AsyncRunningJob) -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop().close()


async def cancels_all(job: AsyncRunningJob) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def gives_its_own_pool_and_ends_it(job: AsyncRunningJob) -> None:
    pool = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(pool)
    await asyncio.to_thread(int)
    pool.shutdown()


async def sets_a_factory_that_fails(job: AsyncRunningJob) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("no tasks")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(fail)
    loop.set_task_factory(fail)
    assert loop.get_task_factory() is fail
    loop.set_debug(True)


async def ends_the_generators(job: AsyncRunningJob) -> None:
    await asyncio.get_running_loop().shutdown_asyncgens()


async def exits_in_a_task(job: AsyncRunningJob) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    asyncio.create_task(leave())  # noqa: RUF006 (it ends at once)
    await asyncio.sleep(0.01)


async def fills_the_pool(job: AsyncRunningJob) -> None:
    over = threading.Event()
    for _ in range(100):
        asyncio.get_running_loop().run_in_executor(None, over.wait, 5)


DEEDS = {
    deed.__name__: deed
    for deed in (
        shuts_the_pool_down,
        stops_the_loop,
        stops_the_loop_later,
        stops_the_loop_from_a_thread,
        closes_the_loop,
        cancels_all,
        gives_its_own_pool_and_ends_it,
        sets_a_factory_that_fails,
        ends_the_generators,
        exits_in_a_task,
        fills_the_pool,
    )
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")
def test_other_async_jobs_go_on_and_later_ones_run(
    queue: Queue, worker: Simulation, tasks: Registry, deed: str
) -> None:
    begun, go = threading.Event(), threading.Event()

    @tasks.task("culprit")
    async def culprit(job: AsyncRunningJob) -> Any:
        return await DEEDS[deed](job)

    @tasks.task("other")
    async def other(job: AsyncRunningJob) -> str:
        async def numbers() -> Any:
            for number in range(3):
                yield number

        async for _ in numbers():
            begun.set()
            while not go.is_set():
                await asyncio.sleep(0.001)
        async with await job.open() as stream:
            await asyncio.create_task(asyncio.sleep(0))
            await asyncio.to_thread(int)
            return str(await stream.read(), "ascii")

    first = queue.submit("other", body=b"well")
    with under_way(worker, first):
        assert begun.wait(PATIENCE)
        second = queue.submit("culprit")
        with under_way(worker, second):
            pass
        go.set()
    later = queue.submit("other", body=b"well")
    with under_way(worker, later):
        pass

    assert second.refresh().state is State.COMPLETED, second.errors
    for job in (first, later):
        assert job.refresh().state is State.COMPLETED, job.errors
        assert (job.result, job.attempt) == ("well", 1)


def test_a_job_whose_tasks_another_cancelled_runs_again_uncounted(
    queue: Queue, worker: Simulation, tasks: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    begun = threading.Event()

    @tasks.task("culprit")
    async def culprit(job: AsyncRunningJob) -> None:
        await cancels_all(job)

    @tasks.task("other", retry=Retry(max_attempts=1))
    async def other(job: AsyncRunningJob) -> str:
        waits = asyncio.create_task(asyncio.sleep(0 if begun.is_set() else PATIENCE))
        await asyncio.sleep(0)
        begun.set()
        await waits
        return "well"

    first = queue.submit("other")
    with under_way(worker, first):
        assert begun.wait(PATIENCE)
        with under_way(worker, queue.submit("culprit")):
            pass
    assert first.refresh().state is State.READY
    worker.step()
    assert first.refresh().state is State.COMPLETED, first.errors
    assert (first.result, first.record.failures, first.record.releases) == ("well", 0, 1)
    assert "task culprit (job " in caplog.text


@pytest.mark.parametrize("deed", ["stops_the_loop", "ends_the_generators"])
def test_the_log_names_the_task_that_would_stop_the_loop(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    caplog: pytest.LogCaptureFixture,
    deed: str,
) -> None:
    @tasks.task("culprit")
    async def culprit(job: AsyncRunningJob) -> None:
        await DEEDS[deed](job)

    job = queue.submit("culprit")
    worker.step()
    (line,) = (line for line in caplog.messages if "which it shares" in line)
    assert line.startswith(f"task culprit (job {job.id}) called ")


def test_a_handler_that_swallows_its_cancellation_is_dropped(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(event_loop, "_BLOCKED", 0.02)
    monkeypatch.setattr(event_loop, "_LONGEST_CLEANUP", 0.05)
    begun = threading.Event()

    @tasks.task("culprit")
    async def culprit(job: AsyncRunningJob) -> None:
        while True:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                logging.info("not me")

    job = queue.submit("culprit")
    with under_way(worker, job):
        assert begun.wait(PATIENCE)
        (run,) = worker.runs.running()
        run.stop_signal.set(TimedOut("its time is over"))
    assert job.refresh().errors[0].kind == "TimedOut"
    assert "takes no notice of its end" in caplog.text


@pytest.mark.parametrize("breaks", ["blocks", "fails"])
def test_a_loop_that_is_lost_is_replaced_and_its_other_jobs_run_again(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    monkeypatch: pytest.MonkeyPatch,
    breaks: str,
) -> None:
    monkeypatch.setattr(event_loop, "_BLOCKED", 0.02)
    monkeypatch.setattr(event_loop, "_LONGEST_BLOCK", 0.05)
    begun, blocked, over = threading.Event(), threading.Event(), threading.Event()
    runs: list[str] = []

    def fail(*_: object) -> None:
        raise OSError("bad file descriptor")

    @tasks.task("culprit", retry=Retry(max_attempts=1))
    async def culprit(job: AsyncRunningJob) -> None:
        blocked.set()
        if breaks == "blocks":
            over.wait(PATIENCE)
        else:
            asyncio.get_running_loop()._selector.select = fail  # type: ignore[attr-defined]
            await asyncio.Event().wait()

    @tasks.task("other", retry=Retry(max_attempts=1))
    async def other(job: AsyncRunningJob) -> str:
        runs.append(job.run_id)
        begun.set()
        while not blocked.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        runs.append(job.run_id)
        return "well"

    first = queue.submit("other")
    with under_way(worker, first) as thread:
        assert begun.wait(PATIENCE)
        second = queue.submit("culprit")
        with under_way(worker, second):
            assert blocked.wait(PATIENCE)
            if breaks == "blocks":
                run = until(
                    lambda: next((r for r in worker.runs.running() if r.job_id == second.id), None),
                    what="the run",
                )
                run.stop_signal.set(TimedOut("its time is over"))
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the other is given back"
            over.set()
    assert first.refresh().state is State.READY, first.errors
    worker.step()
    assert first.refresh().state is State.COMPLETED, first.errors
    assert (first.result, first.record.failures) == ("well", 0)
    assert runs[1:] == [first.record.run_id] * 2, "its first run took no further step"
