"""What the tests' worker does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from remotejob import RunningJob
from remotejob.testing import Simulation
from remotejob.worker.messages.handler import ProcessDeath

T = TypeVar("T")


class Work:
    """Runs the jobs of a queue and notes the order in which they began."""

    def __init__(self, worker: Simulation) -> None:
        self.worker = worker
        self.began: list[object] = []
        """Data of the jobs that were run, in order."""
        self.while_running: dict[object, Callable[[], object]] = {}
        """What happens, once, while the job of that data runs; what it gives is the result."""

    def does(self, job: RunningJob) -> object:
        self.began.append(job.data)
        if job.data == "fail":
            raise ValueError("it cannot be done")
        happens = self.while_running.pop(job.data, None)
        return None if happens is None else happens()

    def off(self) -> None:
        """Work until nothing is left that can be done now."""
        while self.worker.step():
            pass

    def step(self) -> None:
        self.worker.step()


class Meanwhile:
    """Something else happens, once, before a request of a kind arrives, or around its arrival."""

    def __init__(self) -> None:
        self.before: dict[str, Callable[[Callable[[], object]], object]] = {}
        """By the kind of the request; each gets the request's arrival, which it may bring about."""

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        happens = self.before.pop(name, None)
        if happens is None:
            return function()
        arrives = cache(function)
        happens(arrives)
        return arrives()


def dies() -> object:
    """Nothing in the process outlives this."""
    raise ProcessDeath("the process dies here")
