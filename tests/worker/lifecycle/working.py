"""A worker with its threads, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from remotejob import Job, RunInterrupted, RunningJob, State, Urgency
from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.tasks import Registry
from remotejob.worker.worker import Worker, WorkerOptions
from tests.end_to_end.waiting import until

T = TypeVar("T")

LANES = [Address("default", Channel(lane.value)) for lane in Lane]
ENDS = (State.COMPLETED, State.FAILED, State.CANCELLED)
PATIENCE = 60.0


class Working:
    """A worker that runs, and what its `run` returns once it does."""

    def __init__(self, installation: Installation, tasks: Registry, options: WorkerOptions) -> None:
        self._installation = installation
        self.worker = Worker(installation, tasks, options)
        self.clean: Future[bool] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.clean.set_result(self.worker.run())
        except BaseException as error:
            self.clean.set_exception(error)
            raise

    def stop(self, urgency: Urgency = Urgency.NORMAL) -> None:
        self.worker.stop(urgency)

    def ended(self) -> bool:
        """Wait for the end of it, and of no poll; whether all its threads have ended."""
        while not self.clean.done():
            end_polls(self._installation)
            threading.Event().wait(0.01)
        return self.clean.result(PATIENCE)


@contextmanager
def working(
    installation: Installation,
    tasks: Registry,
    *,
    concurrency: int = 1,
    grace: timedelta = timedelta(seconds=PATIENCE),
    **options: Any,
) -> Iterator[Working]:
    """A worker that is stopped at once when the block ends, if it was not before."""
    made = Working(
        installation,
        tasks,
        WorkerOptions(queue="default", name="w1", concurrency=concurrency, grace=grace, **options),
    )
    try:
        yield made
    finally:
        made.stop(Urgency.HARD)
        made.clean.result(PATIENCE)


def end_polls(installation: Installation) -> None:
    """Have every long poll return what there is: in memory any message wakes them all."""
    installation.messages.send(Address("default", Channel.COMPLETED), [Outgoing(body="wake")])


def awaited(installation: Installation, look: Callable[[], object], *, what: str) -> None:
    """Until `look` finds something, with polls that see at once what has become visible."""

    def looked() -> object:
        end_polls(installation)
        return look()

    until(looked, what=what)


def ended(job: Job, installation: Installation) -> Job:
    """A job, once it has."""
    awaited(installation, lambda: job.refresh().state in ENDS, what="the end of the job")
    return job


def visible(installation: Installation) -> int:
    return sum(installation.messages.depth(lane).visible for lane in LANES)


class Holding:
    """A task that says that it has begun, and goes on until it is let go or stopped."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, job: RunningJob) -> str:
        if job.data == "quick":
            return "quick"
        self.begun.release()
        try:
            while not self.go.wait(0.01):
                job.check()
        except RunInterrupted:
            self.stopped.set()
            raise
        return "done"

    def await_begun(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE), "it has not begun"


class Gate:
    """Holds up the calls of the ports that `shut` chooses, until it is opened."""

    def __init__(self, shut: Callable[[str, tuple[Any, ...]], bool]) -> None:
        self._shut = shut
        self.opened = threading.Event()
        self.reached = threading.Semaphore(0)

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if self._shut(name, arguments) and not self.opened.is_set():
            self.reached.release()
            self.opened.wait()
        return function()

    def await_reached(self) -> None:
        assert self.reached.acquire(timeout=PATIENCE), "nobody came to the gate"
