"""One task, one resource, one job: the synopsis of redis-dist-job-queue's README.

    python examples/ancestors/synopsis.py

runs it here, in memory. On a deployed system, `perform` and `register` go into the workers' tasks
module.
"""

from __future__ import annotations

from remotejob import Job, Queue, RemoteJob, RunningJob
from remotejob.hooks import CommandEvent, JobEvent, off, on
from remotejob.tasks import Registry, registry
from remotejob.testing import Simulation, memory_installation

TASK = "thisIsMyTaskId"


def perform(job: RunningJob) -> str:
    """The README's `foo_node_module`. While it runs, no other job has its resource."""
    shouted: str = job.data["theString"].upper()
    print(shouted)
    return shouted


def register(tasks: Registry = registry) -> None:
    tasks.task(TASK)(perform)


def complain(event: CommandEvent) -> None:
    """The README's `error` listener: calls that are refused. Errors in workers are in their log."""
    print(f"job queue error: {event.error}")


def tell(event: JobEvent) -> None:
    """Each failure names its job, as the ancestor's event `jobFail` does."""
    print(f"job {event.job.id} failed: {event.failure}")


def submit(queue: Queue, text: str | None = "derp") -> Job:
    job = queue.submit(TASK, resource="resource_id", data={"theString": text})
    print("job submitted")
    return job


def run_here(text: str | None = "derp") -> Job:
    """Submit a job to a system in memory, and run it."""
    tasks = Registry()
    register(tasks)
    installation = memory_installation(queues={"default": (TASK,)})
    on("error", complain)
    on("failed", tell, task=TASK)
    try:
        job = submit(RemoteJob(installation).queue(), text)
        # a deployed worker starts automatically when there are jobs
        Simulation(installation=installation, tasks=tasks).step()
    finally:
        off("failed", tell)
        off("error", complain)
    return job.refresh()


if __name__ == "__main__":
    print(f"result: {run_here().result}")
