"""The commands that change jobs: pause, resume, cancel, restart, remove and so on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import typer

from remotejob.cli import failures
from remotejob.cli.arguments import parse_seconds
from remotejob.cli.common import (
    YEAR,
    AsJson,
    JobId,
    JobIds,
    Queue,
    RetryWait,
    System,
    complain,
    parse_retry,
    put,
    say,
    show_job,
    show_jobs,
)
from remotejob.cli.connecting import connect, connect_to_change, where
from remotejob.cli.exit_codes import Exit, explain
from remotejob.client.many import Commanded
from remotejob.domain.errors import InvalidData

app: Final = typer.Typer()

Antecedents = Annotated[
    bool, typer.Option("--antecedents", help="Also cancel the jobs that these depend on.")
]


@app.command()
def pause(jobs: JobIds, system: System = None, as_json: AsJson = False) -> None:
    """Keep jobs from starting until you resume them."""
    _report(connect_to_change(system).pause_jobs(jobs), as_json=as_json)


@app.command()
def resume(jobs: JobIds, system: System = None, as_json: AsJson = False) -> None:
    """Resume paused jobs."""
    _report(connect_to_change(system).resume_jobs(jobs), as_json=as_json)


@app.command()
def ready(
    jobs: JobIds,
    at: Annotated[
        datetime | None, typer.Option(help="Local time on this machine; default: now.")
    ] = None,
    independent: Annotated[
        bool, typer.Option("--independent", help="Drop their dependencies on other jobs.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Let waiting jobs run now, or at a given time."""
    connected = connect_to_change(system)
    when = None if at is None else at.astimezone()
    _report(connected.make_jobs_ready(jobs, at=when, independent=independent), as_json=as_json)


@app.command()
def cancel(
    jobs: JobIds,
    antecedents: Antecedents = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs and all that depend on them. A running job stops at its next heartbeat."""
    connected = connect_to_change(system)
    _report(connected.cancel_jobs(jobs, antecedents=antecedents), as_json=as_json)


@app.command()
def cancel_repeats(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task of the repeating jobs.")],
    queue: Queue = "default",
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Cancel all jobs of a task that repeat for ever."""
    target = connect_to_change(system).queue(queue)
    show_jobs(target.cancel_repeats(task), as_json=as_json)


@app.command()
def restart(
    jobs: JobIds,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Retries after the first run; default: as before.")
    ] = None,
    retry_wait: RetryWait = None,
    dependents: Annotated[
        bool, typer.Option("--dependents", help="Also restart jobs that were cancelled with them.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Run failed or cancelled jobs again, after the jobs they depend on."""
    retry = parse_retry(retries, retry_wait)
    connected = connect_to_change(system)
    _report(connected.restart_jobs(jobs, retry=retry, dependents=dependents), as_json=as_json)


@app.command()
def rerun(
    job_id: JobId,
    wait: Annotated[
        float, typer.Option(min=0, max=YEAR, help="Seconds to wait before it may run.")
    ] = 0,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Submit a copy of a completed job and print its id."""
    job = connect(system).job(job_id).rerun(wait=parse_seconds("--wait", wait))
    if as_json:
        show_job(job, as_json=True)
    else:
        say(job.id)


@app.command()
def remove(jobs: JobIds, system: System = None, as_json: AsJson = False) -> None:
    """Delete jobs that have ended, with their logs and outputs."""
    _report_removed(connect_to_change(system).remove_jobs(jobs), as_json=as_json)


@app.command()
def failed(
    queue: Queue = "default",
    task: Annotated[str | None, typer.Option(help="Only jobs of this task.")] = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """List the failed jobs of a queue, newest first. Jobs with the same error form a group."""
    jobs = connect(system).queue(queue).failed(task=task)
    if jobs and not as_json:
        put(failures.by_error(jobs))
    else:
        show_jobs(failures.newest_first(jobs), as_json=as_json)


@app.command()
def retry_failed(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of the jobs; default: all.")
    ] = None,
    queue: Queue = "default",
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Restart failed jobs of a queue: all, or the given ones."""
    chosen = jobs or None
    target = connect_to_change(system).queue(queue)
    _report(target.retry_failed(chosen), as_json=as_json)


@app.command()
def delete_failed(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of the jobs.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Delete all failed jobs.")] = False,
    queue: Queue = "default",
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Delete failed jobs of a queue: the given ones, or --all."""
    if bool(jobs) is every:
        raise InvalidData("delete-failed: give either job ids or --all")
    chosen = jobs or None
    target = connect_to_change(system).queue(queue)
    _report_removed(target.delete_failed(chosen), as_json=as_json)


def _report(commanded: Commanded, *, as_json: bool) -> None:
    """Print the outcome of a command. Exits with the code of the first job that refused it."""
    jobs = list(commanded.done)
    if len(jobs) == 1 and not commanded.refused:
        show_job(jobs[0], as_json=as_json)
    elif jobs or as_json:
        show_jobs(jobs, as_json=as_json)
    _exit_if_refused(commanded)


def _report_removed(commanded: Commanded, *, as_json: bool) -> None:
    """Print a line for each removed job; showing its record would look as if it still existed."""
    if as_json:
        _report(commanded, as_json=True)
        return
    for job in commanded.done:
        say(f"removed {job.id}")
    _exit_if_refused(commanded)


def _exit_if_refused(commanded: Commanded) -> None:
    codes: list[Exit] = []
    for refusal in commanded.refused.values():
        code, line = explain(refusal)
        codes.append(code)
        complain(line + where(refusal))
    if codes:
        raise typer.Exit(codes[0])
