"""Waiting for another process, with an end to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from remotejob import Job, Priority, Queue, State

Found = TypeVar("Found")

NOTED: Final = "REMOTEJOB_TEST_NOTED"
"""Where `tests.end_to_end.noting`, imported by a worker, notes what its hooks were told."""

TRACED: Final = "REMOTEJOB_TEST_TRACED"
"""The file into which a worker with `tests.end_to_end.traced` for its tasks writes its spans."""

PATIENCE = 60.0
"""Seconds after which something is broken, on the slowest machine."""


def until(look: Callable[[], Found | None], *, what: str, patience: float = PATIENCE) -> Found:
    """What `look` finds, once it finds something.

    Raises: AssertionError, saying what did not come about.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not seen in {patience:.0f} s: {what}")


def end_polls(queue: Queue) -> list[Job]:
    """Send a job to each lane, and so end the polls of a worker that drains, of 20 s.

    The caller has seen that it drains, and tells `given_back` of these jobs when it is out.
    """
    priorities = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
    return [queue.submit("say", priority=priority) for priority in priorities]


def given_back(jobs: Sequence[Job]) -> bool:
    """Whether none of them has begun; they are in nobody's way any more."""
    for job in jobs:
        job.refresh()
    found = {(job.state, job.attempt) for job in jobs} == {(State.READY, 0)}
    for job in jobs:
        job.cancel()
    return found
