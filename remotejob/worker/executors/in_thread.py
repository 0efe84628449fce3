"""A task's function in the thread that calls, wherever the task says that it runs.

What replays, simulates and composes calls it so, and so does a child process.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import RunInterrupted
from remotejob.tasks.running_job import RunHandle, RunningJob
from remotejob.tasks.runs_in import THREADS, is_async
from remotejob.worker.executors import stack_note


def call_here(run: RunHandle) -> Any:
    """Run the task in this thread and this process; an `async def` to its end.

    So a task of its own process is without its limits here, and is not killed.
    """
    task = run.task
    if task.runs_in is THREADS or not is_async(task.function):
        return task.function(RunningJob(run))
    from remotejob.worker.executors.event_loop import run_to_end

    return run_to_end(task.function, RunningJob(run))


class ThisThread:
    """What a task is in the thread that calls: out of time, it says where it stands."""

    def __init__(self) -> None:
        self._thread: Final = threading.get_ident()
        self._caller: Final = sys._getframe(1)
        self._told = False

    def stopping(self, reason: RunInterrupted) -> None:
        # when it is first told: later it may be cleaning up
        told, self._told = self._told, True
        if not told:
            stack_note.note(reason, stack_note.of_thread(self._thread, above=self._caller))

    def kill(self, *, grace: timedelta) -> bool:  # noqa: ARG002 (the protocol's)
        """Nothing more than it was told: a thread cannot be killed."""
        return True
