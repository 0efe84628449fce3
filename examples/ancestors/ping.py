"""Ping: the manager and the worker of forerunner's README.

    python examples/ancestors/ping.py

runs both here, in memory. On a deployed system there is no manager process: your program submits,
the task is in the workers' tasks module, and the hook runs in the process that ends the job.
"""

from __future__ import annotations

from collections.abc import Callable

from remotejob import Job, Queue, RemoteJob, builtin
from remotejob.hooks import JobEvent, off, on
from remotejob.tasks import Registry, registry
from remotejob.testing import Simulation, memory_installation

TASK = "ping"


def register(tasks: Registry = registry) -> None:
    """The worker."""
    builtin.register(tasks, names=(TASK,))


def manage(queue: Queue, *, rounds: int) -> Callable[[JobEvent], None]:
    """The manager: submit a job, and the next one each time one completes, `rounds` in all."""
    left = rounds - 1

    def pinged(event: JobEvent) -> None:
        nonlocal left
        print(f"pinged a worker with job {event.job.id}: {event.job.result}")
        if left:
            left -= 1
            queue.submit(TASK, data={"cat": "dog"})

    on("completed", pinged, task=TASK)
    queue.submit(TASK, data={"foo": "bar"})
    return pinged


def run_here(rounds: int = 3) -> list[Job]:
    """Run the manager and one worker until all jobs have ended; return them, newest first."""
    tasks = Registry()
    register(tasks)
    installation = memory_installation(queues={"default": (TASK,)})
    queue = RemoteJob(installation).queue()
    worker = Simulation(installation=installation, tasks=tasks)
    pinged = manage(queue, rounds=rounds)
    try:
        while worker.step():
            pass
    finally:
        off("completed", pinged)
    return queue.jobs()


if __name__ == "__main__":
    run_here()
