"""A function whose call would run nothing is refused where it is given, and costs no job."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest

from remotejob import InvalidData, Job, Queue, RemoteJob, State, compose
from remotejob.client.hooks import Hooks
from remotejob.client.replay_here import replay_here
from remotejob.tasks import Registry
from remotejob.testing import Simulation, memory_installation, run_task
from remotejob.testing.interception import intercepted
from tests.end_to_end.waiting import until


class OnlyMade:
    """A class that takes a job, and does nothing with it."""

    def __init__(self, *given: object) -> None:
        self.given = given


class Yields:
    def __call__(self, *given: object) -> Iterator[object]:
        yield given


class Awaits:
    async def __call__(self, job: Any) -> str:
        await asyncio.sleep(0)
        return f"awaited {job.task}"


def generator(*given: object) -> Iterator[object]:
    yield given


async def async_generator(*given: object) -> AsyncIterator[object]:
    yield given


async def awaits(job: Any) -> str:
    return await Awaits()(job)


def passes_on(job: Any) -> Any:
    return awaits(job)


NOTHING: Final[dict[str, Any]] = {
    "none": None,
    "number": 42,
    "text": "work",
    "list": [lambda job: None],
    "class": OnlyMade,
    "generator": generator,
    "partial generator": functools.partial(generator),
    "generator object": generator(1),
    "callable that yields": Yields(),
    "async generator": async_generator,
    "takes none": lambda: None,
    "takes more": lambda a, b, c, d: None,
    "takes others": lambda *, job: None,
}
"""What is no function of a job, or runs nothing when it is called with one."""

ANYTHING: Final[Any] = 0

GIVEN: Final[dict[str, Callable[[Job, Queue, Any], object]]] = {
    "task": lambda job, queue, function: Registry().task("work")(function),
    "process_jobs": lambda job, queue, function: queue.process_jobs("work", function),
    "replay_here": lambda job, queue, function: replay_here(
        job, tasks=ANYTHING if function is None else function
    ),
    "run_task": lambda job, queue, function: run_task(
        0 if function == "work" else function  # type: ignore[arg-type]
    ),
    "compose": lambda job, queue, function: compose([0 if function == "work" else function]),  # type: ignore[list-item]
    "hook": lambda job, queue, function: Hooks().on(
        "completed", ANYTHING if function is None else function
    ),
}
"""Where a function is given; a name and None mean something in some of them."""


class Receives:
    """Counts the requests for messages."""

    def __init__(self) -> None:
        self.count = 0

    def request(self, name: str, arguments: Any, function: Callable[[], Any]) -> Any:
        self.count += name == "messages.receive"
        return function()


@pytest.mark.parametrize("what", NOTHING)
@pytest.mark.parametrize("place", GIVEN)
def test_it_is_refused_by_name_before_a_job_is_taken(place: str, what: str) -> None:
    receives = Receives()
    system = intercepted(memory_installation(), receives)
    queue = RemoteJob(system).queue()
    job = queue.submit("work")

    with pytest.raises(InvalidData) as refusal:
        GIVEN[place](job, queue, NOTHING[what])

    assert len(str(refusal.value)) < 500
    assert (receives.count, job.refresh().state) == (0, State.READY)


@pytest.mark.parametrize(
    "function", [awaits, Awaits(), functools.partial(awaits)], ids=["def", "object", "partial"]
)
@pytest.mark.parametrize("place", ["compose", "hook"])
def test_where_nothing_is_awaited_an_async_def_is_refused(
    place: str, function: Callable[..., Any]
) -> None:
    job, queue = RemoteJob(memory_installation()).queue().submit("work"), None
    with pytest.raises(InvalidData):
        GIVEN[place](job, queue, function)  # type: ignore[arg-type]


ASYNC: Final[dict[str, Callable[[Any], Any]]] = {
    "async def": awaits,
    "object": Awaits(),
    "partial": functools.partial(awaits),
    "returns a coroutine": passes_on,
    "lambda": lambda job: awaits(job),
}


@pytest.mark.parametrize("what", ASYNC)
def test_an_async_function_is_awaited_by_hand(what: str) -> None:
    queue = RemoteJob(memory_installation()).queue()
    jobs = [queue.submit("work") for _ in range(2)]

    with queue.process_jobs("work", ASYNC[what]):
        until(lambda: all(job.refresh().ended for job in jobs), what="their ends")

    assert [job.result for job in jobs] == ["awaited work"] * 2


@pytest.mark.parametrize("what", ASYNC)
def test_a_task_that_returns_a_coroutine_is_awaited(what: str) -> None:
    system = memory_installation()
    worker = Simulation(installation=system)
    worker.tasks.task("work")(ASYNC[what])
    job = RemoteJob(system).queue().submit("work")
    worker.step()

    assert job.refresh().result == "awaited work"
    assert replay_here(job, tasks=ASYNC[what]).result == "awaited work"
