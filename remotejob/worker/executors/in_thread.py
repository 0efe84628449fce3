"""Runs a task's function in the calling thread, whatever its `runs_in`.

Replays, simulations, compositions and child processes run tasks this way.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import RunInterrupted
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.functions import is_async
from remotejob.tasks.own_context import own_context
from remotejob.tasks.running_job import RunHandle, RunningJob
from remotejob.tasks.runs_in import THREADS
from remotejob.worker.executors import stack_note


def call_here(run: RunHandle) -> Any:
    """Run the task in this thread and process; an `async def` to its end.

    A task with `Process(...)` has no limits here, and is not killed.
    """
    task, job = run.task, RunningJob(run)
    if task.runs_in is THREADS or not is_async(task.function):
        with OnlyHere():
            return call(task.function, job)
    from remotejob.tasks.async_running_job import AsyncRunningJob

    return call(task.function, AsyncRunningJob(job))


def call(function: Callable[[Any], Any], argument: object) -> Any:
    """Call a function here, in a context of its own; a coroutine that it returns runs to its end.

    Such is what an `async def` returns, and also a plain function that only passes one on.
    """
    return own_context().run(_call, function, argument)


def _call(function: Callable[[Any], Any], argument: object) -> Any:
    returned = function(argument)
    if not is_a(returned, Coroutine):
        return returned
    from remotejob.worker.executors.event_loop import run_to_end

    return run_to_end(returned)


class ThisThread:
    """A task in the calling thread: when its time is over, it notes where the task stands."""

    def __init__(self) -> None:
        self._thread: Final = threading.get_ident()
        self._caller: Final = sys._getframe(1)
        self._noted = False

    def stopping(self, reason: RunInterrupted) -> None:
        # only the first time: later the task may be cleaning up
        noted, self._noted = self._noted, True
        if not noted:
            stack = stack_note.of_thread(self._thread, above=self._caller, caller=__file__)
            stack_note.note(reason, stack)

    def kill(self, *, grace: timedelta) -> bool:  # noqa: ARG002 (the protocol's)
        """Do nothing more: a thread cannot be killed."""
        return True
