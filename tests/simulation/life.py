"""Scenarios of what jobs are for: runs, retries, due times, uploads and managers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remotejob.domain import command_changes
from remotejob.domain.errors import Fatal, JobCancelled
from remotejob.domain.retry import Backoff, Retry
from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from tests.simulation.scripting import JOB, fails, must_stop, scenario, works
from tests.simulation.world import PAST_THE_LEASE, Uploaded, World


@scenario(ends=State.COMPLETED)
def plain(world: World) -> None:
    world.task(works)
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def body_and_outputs(world: World) -> None:
    def work(job: RunningJob) -> Any:
        with job.open() as stream:
            content = stream.read()
        job.output("copy.bin", content)
        job.output("folder/again.bin", content)
        return "long " * 1000

    world.task(work)
    world.submit(Submission(task="work", body=b"photo", filename="p.jpg", data=["long"] * 2000))
    world.step()


@scenario(ends=State.COMPLETED)
def many_at_once(world: World) -> None:
    world.task(works)
    world.submit(JOB, Submission(task="work", priority=-10), Submission(task="work", priority=10))
    world.step()


@scenario(ends=State.COMPLETED)
def fails_once_then_completes(world: World) -> None:
    failed: list[str] = []

    def work(job: RunningJob) -> Any:
        if not failed:
            failed.append(job.run_id)
            fails(job)
        return works(job)

    world.task(work, retry=Retry(max_attempts=3, wait=timedelta(minutes=5)))
    world.submit(JOB)
    world.step()
    world.advance(timedelta(minutes=5))
    world.step()


@scenario(ends=State.FAILED)
def fails_until_no_attempt_is_left(world: World) -> None:
    world.task(fails)
    retry = Retry(max_attempts=3, wait=timedelta(seconds=30), backoff=Backoff.EXPONENTIAL)
    world.submit(Submission(task="work", retry=retry))
    for wait in (30, 60, 120):
        world.step()
        world.advance(timedelta(seconds=wait))


@scenario(ends=State.FAILED)
def fails_for_good(world: World) -> None:
    def work(_: RunningJob) -> Any:
        raise Fatal("no use trying again")

    world.task(work, retry=Retry(max_attempts=5))
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def retry_waits_longer_than_a_message_can(world: World) -> None:
    failed: list[str] = []

    def work(job: RunningJob) -> Any:
        if not failed:
            failed.append(job.run_id)
            fails(job)
        return works(job)

    world.task(work, retry=Retry(max_attempts=2, wait=timedelta(hours=1)))
    world.submit(JOB)
    world.step()
    world.advance(timedelta(minutes=58))
    world.tick()
    world.step()
    world.advance(timedelta(minutes=2))
    world.step()


@scenario(ends=State.COMPLETED)
def due_soon(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", delay=timedelta(minutes=3)))
    world.step()
    world.advance(timedelta(minutes=3))
    world.step()


@scenario(ends=State.COMPLETED)
def due_much_later(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", delay=timedelta(hours=2)))
    world.advance(timedelta(minutes=117, seconds=30))
    world.tick()
    world.step()
    world.advance(timedelta(minutes=3))
    world.step()


@scenario(ends=State.COMPLETED)
def passed_on_to_a_worker_that_has_the_task(world: World) -> None:
    world.task(works)
    world.submit(JOB)
    world.step("older", tasks=Registry())
    world.advance(timedelta(seconds=5))
    world.step("older", tasks=Registry())
    world.advance(timedelta(seconds=10))
    world.step()


@scenario(ends=State.COMPLETED)
def beside_a_message_nobody_understands(world: World) -> None:
    world.task(works)
    world.deliver_nonsense("what is this?")
    world.submit(JOB)
    world.step()


@scenario(ends=State.COMPLETED)
def upload_events_repeated_and_out_of_order(world: World) -> None:
    world.task(works)
    first, second = Uploaded(version="v1", at=0), Uploaded(version="v2", at=1)
    world.upload(second)
    world.upload(first)
    world.step()
    world.upload(second)
    world.upload(second)
    world.upload(first)
    world.step()


@scenario(ends=State.COMPLETED)
def upload_event_that_comes_days_late(world: World) -> None:
    world.task(works)
    world.upload(Uploaded(version="v1", at=-3 * 86_400))
    world.upload(Uploaded(version="v1", at=-3 * 86_400))
    world.step()


@scenario(ends=State.CANCELLED, or_else=State.COMPLETED)
def cancelled_while_it_runs(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            world.manage(command_changes.cancel)
            world.advance(timedelta(seconds=25))
            world.beat()
            if world.faults.struck is None:
                must_stop(world, job, JobCancelled)
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()


@scenario(ends=State.CANCELLED, or_else=State.COMPLETED)
def cancelled_before_it_runs(world: World) -> None:
    def work(job: RunningJob) -> Any:
        if world.trace.records[job.id].state is State.CANCELLED:
            world.violations.append("11: a cancelled job was started")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.manage(command_changes.cancel)
    world.step()


@scenario(ends=State.CANCELLED, or_else=State.COMPLETED)
def cancelled_long_before_it_is_due(world: World) -> None:
    world.task(works)
    world.submit(Submission(task="work", delay=timedelta(hours=1)))
    world.manage(command_changes.cancel)
    world.step()


@scenario(ends=State.COMPLETED, or_else=State.CANCELLED)
def restarted_while_the_cancelled_run_winds_down(world: World) -> None:
    runs: list[str] = []

    def work(job: RunningJob) -> Any:
        runs.append(job.run_id)
        if len(runs) == 1:
            world.manage(command_changes.cancel)
            world.manage(command_changes.restart)
            world.duplicate()
            world.step("other")
        return works(job)

    world.task(work)
    world.submit(JOB)
    world.step()
    world.advance(PAST_THE_LEASE)
    world.step()


@scenario(ends=State.COMPLETED, or_else=State.PAUSED)
def paused_and_resumed(world: World) -> None:
    world.task(works)
    world.submit(JOB)
    world.manage(command_changes.pause)
    world.step()
    world.manage(command_changes.resume)
    world.tick()
    world.step()
