"""A task's function in the thread that calls, wherever the task says that it runs.

What replays, simulates and composes calls it so, and so does a child process.
"""

from __future__ import annotations

from typing import Any

from remotejob.worker.executors.options import THREADS, is_async
from remotejob.worker.run import Run
from remotejob.worker.running import RunningJob


def call_here(run: Run) -> Any:
    """Run the task in this thread and this process; an `async def` to its end.

    So a task of its own process is without its limits here, and is not killed.
    """
    task = run.task
    if task.runs_in is THREADS or not is_async(task.function):
        return task.function(RunningJob(run))
    from remotejob.worker.executors.awaited import run_to_end

    return run_to_end(task.function, RunningJob(run))
